/** Durations and sizes as people write them. */
import { z } from 'zod';
import { shown } from './describe-issue.ts';

const msPerUnit: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const bytesPerUnit: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** Timers of Node hold no more than 31 bits of milliseconds. */
export const maxDurationMs = 2 ** 31 - 1;

/** Which durations are taken; without bounds, those that a timer can hold. */
interface DurationRange {
  /** Whether 0 is allowed and means "none". */
  readonly zero?: boolean;
  /** The shortest one but 0, as it would be written. */
  readonly least?: string;
  /** The longest one, as it would be written. */
  readonly most?: string;
}

/** A duration such as `250ms`, `1s`, `1m30s` or a number of seconds; milliseconds once parsed. */
export function duration({ zero = false, least, most }: DurationRange = {}) {
  const [leastMs = 0, mostMs = maxDurationMs] = [least, most].map((text) => parseDurationMs(text ?? ''));
  const range = `${least ?? (zero ? '0' : 'more than 0')} to ${most ?? '24 days'}`;
  const isInRange = (ms: number): boolean => (ms === 0 ? zero : ms > 0 && ms >= leastMs && ms <= mostMs);
  return z.union([z.string(), z.number()], { error: wrongDuration }).transform((value, context) => {
    const ms = typeof value === 'number' ? value * 1000 : parseDurationMs(value);
    if (ms !== undefined && isInRange(ms)) return ms;
    const message =
      ms === undefined || !Number.isFinite(ms)
        ? wrongDuration({ input: value })
        : `duration ${shown(value)} is out of range: ${range}`;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
}

/** A size such as `16MiB`, `500KB` or a number of bytes; bytes once parsed. */
export function size() {
  return z.union([z.string(), z.number()], { error: wrongSize }).transform((value, context) => {
    const bytes = typeof value === 'number' ? value : parseBytes(value);
    if (bytes === undefined || !Number.isSafeInteger(bytes) || bytes < 1) {
      context.addIssue({ code: 'custom', message: wrongSize({ input: value }) });
      return z.NEVER;
    }
    return bytes;
  });
}

function parseDurationMs(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return text === '0' ? 0 : undefined;
  let ms = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g))
    ms += Number(amount) * msPerUnit[unit!]!;
  return ms;
}

function parseBytes(text: string): number | undefined {
  const [, amount, unit] = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(text) ?? [];
  const bytes = unit === undefined ? undefined : bytesPerUnit[unit];
  return bytes === undefined ? undefined : Number(amount) * bytes;
}

function wrongDuration({ input }: { readonly input?: unknown }): string {
  return `${shown(input)} is not a duration: write it like 250ms, 1s, 5m, or as a number of seconds`;
}

function wrongSize({ input }: { readonly input?: unknown }): string {
  return `${shown(input)} is not a size: write it like 16MiB, 500KB, or as a number of bytes`;
}
