/** How callers appear in the log: recognisable, and by default not known. */
import { createHmac } from 'node:crypto';
import type { Principal } from '../auth/principal.ts';

export interface SubjectLabelOptions {
  /** `hashed`: the same word for the same caller; `plain`: the subject itself; `none`: nothing. */
  readonly subjects: 'hashed' | 'plain' | 'none';
  /** Key of the hash. Absent: the process' own, so that words of two processes do not compare. */
  readonly subjectSecret?: string | undefined;
}

const hashLength = 12;

/** Makes the function that names a principal in a log line; undefined where it shall not be named, or is nobody. */
export function createSubjectLabel(
  { subjects, subjectSecret }: SubjectLabelOptions,
  ownSecret: Buffer,
): (principal: Principal) => string | undefined {
  const secret = subjectSecret ?? ownSecret;
  // A verified token keeps its principal, so that a hash costs once per token and not once per exchange.
  const known = new WeakMap<Principal, string>();
  return (principal) => {
    if (subjects === 'none' || principal.id === 'anonymous') return undefined;
    if (subjects === 'plain') return principal.kind === 'user' ? principal.subject : principal.id;
    let label = known.get(principal);
    if (label === undefined) {
      label = hashed(principal.id, secret);
      known.set(principal, label);
    }
    return label;
  };
}

/**
 * Makes the function that names a principal by its id, on pages for operators: by the word that its log lines have, or by
 * the id where they have the subject.
 */
export function createIdLabel(
  { subjects, subjectSecret }: SubjectLabelOptions,
  ownSecret: Buffer,
): (id: string) => string | undefined {
  if (subjects === 'none') return () => undefined;
  if (subjects === 'plain') return (id) => id;
  const secret = subjectSecret ?? ownSecret;
  return (id) => (id === 'anonymous' ? id : hashed(id, secret));
}

function hashed(id: string, secret: string | Buffer): string {
  return createHmac('sha256', secret).update(id).digest('base64url').slice(0, hashLength);
}
