/** What a section of the configuration finds wrong. */
import type { z } from 'zod';
import { describeIssue } from '../../../src/config/describe-issue.ts';

/** Path and message of every fault of what is written; none where it is accepted. */
export function sectionFaults(section: z.ZodType, written: unknown): string[] {
  const issues = section.safeParse(written).error?.issues ?? [];
  return issues.map((issue) => `${issue.path.join('.')}: ${describeIssue(issue, written)}`);
}
