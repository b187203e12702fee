/** The pages and numbers of queues, ledger and limits as tests read them. */
import { eventually } from './eventually.ts';
import type { Gateway } from './gateway.ts';
import { samples } from './metrics-page.ts';
import { untilIdle } from './pages.ts';

/** A queue of `/debug/queue`. */
export interface QueueView {
  readonly model: string;
  readonly waiting: number;
  readonly running: number;
  readonly freeSlots: number;
  /** In the order of turns. */
  readonly flows: readonly { readonly flow: string; readonly waiting: number; readonly priority: number }[];
}

interface Usage {
  readonly requests: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** An entry of `/debug/ledger`. */
export interface LedgerView extends Usage {
  readonly principal: string;
  readonly model: string;
  readonly weightedTokens: number;
  readonly estimatedShare: number;
  readonly reserved: Usage;
}

interface Level {
  readonly left: number;
  readonly of: number;
}

/** A bucket of `/debug/limits`. */
export interface LimitView {
  readonly limit: string;
  readonly scope: string;
  readonly owner: string;
  readonly running: number;
  readonly requests?: Level;
  readonly totalTokens?: Level;
  readonly outputTokens?: Level;
}

type Pages = Pick<Gateway, 'admin'>;

const emptyQueue: QueueView = { model: 'm', waiting: 0, running: 0, freeSlots: 0, flows: [] };

/** The queue of model `m`; an empty one where there is none. */
export async function queueOf(gateway: Pages): Promise<QueueView> {
  const { queues } = (await gateway.admin('/debug/queue')) as { readonly queues: readonly QueueView[] };
  return queues.find(({ model }) => model === 'm') ?? emptyQueue;
}

/** Waits until so many requests wait for model `m`. */
export function untilWaiting(gateway: Pages, count: number): Promise<void> {
  return eventually(async () => (await queueOf(gateway)).waiting === count);
}

export async function ledger(gateway: Pages): Promise<readonly LedgerView[]> {
  return ((await gateway.admin('/debug/ledger')) as { readonly entries: readonly LedgerView[] }).entries;
}

export async function limits(gateway: Pages): Promise<readonly LimitView[]> {
  return ((await gateway.admin('/debug/limits')) as { readonly buckets: readonly LimitView[] }).buckets;
}

/** How often requests left the queue of model `m` without a turn, by reason. */
export async function leftQueue(
  gateway: Pick<Gateway, 'adminUrl'>,
): Promise<Readonly<Record<string, number>>> {
  const counts = await samples(gateway, 'sluice_queue_left_total');
  return Object.fromEntries(
    [...counts].map(([labels, count]) => [/reason="(.*?)"/.exec(labels)?.[1] ?? labels, count]),
  );
}

/** Waits until traffic has ended, and says what is still in flight, waiting, or set aside in ledger and limits. */
export async function leftOver(gateway: Pick<Gateway, 'admin' | 'adminUrl' | 'inFlight'>) {
  await untilIdle(gateway);
  const { waiting, running } = await queueOf(gateway);
  const entries = await ledger(gateway);
  const buckets = await limits(gateway);
  return {
    waiting,
    running,
    reserved: entries.filter(({ reserved }) => reserved.requests + reserved.inputTokens !== 0),
    held: buckets.filter((bucket) => bucket.running !== 0),
  };
}

/** What `leftOver` says where nothing is. */
export const nothingLeft = { waiting: 0, running: 0, reserved: [], held: [] };
