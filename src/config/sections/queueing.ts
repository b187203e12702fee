/** What holds for both ways of queueing, `fairness` and `sessionBoost`. */
import { formatDuration } from '../explain/written-units.ts';
import type { Config } from '../schema.ts';
import { valueAt } from '../written.ts';

/** The longest that a request may wait. Envoy waits for an answer of ours for an hour at most, and it has to come before. */
export const longestWait = '59m';
export const longestWaitMs = 59 * 60_000;

/** What is wrong with two sections that both want to order the queues; undefined where nothing is. */
export function twoOrders(sections: unknown): string | undefined {
  const isOn = (section: string): boolean => valueAt(sections, [section, 'enabled']) === true;
  return isOn('fairness') && isOn('sessionBoost')
    ? 'fairness.enabled is true as well, and a queue has one order: turn one of them off'
    : undefined;
}

/** What an operator should know of queues: sentences that begin with the field. */
export function queueNotes({ fairness, sessionBoost, auth }: Config): string[] {
  const notes: string[] = [];
  if (fairness.enabled) notes.push(waitNote('fairness.queueTimeout', fairness.queueTimeoutMs));
  if (sessionBoost.enabled) notes.push(waitNote('sessionBoost.timeout', sessionBoost.timeoutMs));
  const isOneCaller = auth.providers.length === 0 && auth.anonymous.by === 'shared';
  if (fairness.enabled && fairness.policy !== 'fifo' && isOneCaller) {
    notes.push(
      'fairness.enabled: without an issuer all callers are one, and wait in order of arrival: name an issuer, or tell them apart by auth.anonymous',
    );
  }
  return notes;
}

function waitNote(field: string, ms: number): string {
  return `${field}: requests may wait for ${formatDuration(ms)}, and an Envoy that Sluice does not start has to allow that: by a max_message_timeout of at least as much or, where there is none, as in Envoy Gateway, by a longer messageTimeout`;
}
