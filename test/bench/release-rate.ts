/** How many turns a second a queue gives in which very many wait: it and a ledger alone, in the process of the benchmark. */
import { createFairQueue, type FairQueue, type Turn } from '../../src/fairness/fair-queue.ts';
import { createLedger, type Reservation } from '../../src/fairness/ledger.ts';
import { createVtcPolicy } from '../../src/fairness/policies/vtc.ts';
import { createWindowPolicy } from '../../src/fairness/policies/window.ts';
import type { TokenCount } from '../../src/fairness/token-count.ts';
import type { TurnPolicy } from '../../src/fairness/turn-policy.ts';
import { seededRandom } from '../../src/engine-sim/random.ts';
import { systemClock, type Clock } from '../../src/lib/clock.ts';
import { digits, type Bench, type Table } from './bench.ts';

const principals = 1000;
const waitersEach = 10;
const slots = 64;
const warmup = 20_000;
const releases = 200_000;
/** A sixtieth of the window. */
const slotMs = 5000;
const newSlots = 20;

const model = 'm';
const weights = { inputTokenWeight: 1, outputTokenWeight: 2, cachedTokenWeight: 1 };
const expected: TokenCount = { inputTokens: 1000, cachedInputTokens: 0, outputTokens: 256 };

interface ReleaseFigure {
  /** From the end of one request to the turn of the next, with all that both bring about; the mean. */
  readonly microseconds: number;
  /** The same for the first release after something left the window, the median. */
  readonly newSlotMicroseconds: number;
  /** All that wait released at once. */
  readonly allAtOnceMs: number;
}

/** Releases per second with ten thousand waiting. */
export async function benchReleaseRate(bench: Bench): Promise<Table> {
  const rows: string[][] = [];
  for (const policy of ['vtc', 'window'] as const) {
    bench.progress(`releases, ${policy}`);
    const { microseconds, newSlotMicroseconds, allAtOnceMs } = await measure(policy, bench.quick ? 0.1 : 1);
    rows.push([
      policy,
      `${digits(1e6 / microseconds)}/s`,
      `${digits(microseconds, 1)} µs`,
      `${digits(newSlotMicroseconds, 1)} µs`,
      `${digits(allAtOnceMs, 1)} ms`,
    ]);
  }
  return {
    title: 'Releases',
    notes: [
      `A queue with its policy and a ledger, in the process of the benchmark: ${digits(principals * waitersEach)} requests of ${digits(principals)} principals wait, ${slots} have their turn. When one ends, it is charged and settled, the next is released and reserved, and the one that ended is sent again, so that as many wait as before. *A new slot* is the first release after tokens left the window, which changes the order of everybody under \`window\`; that is so every ${slotMs / 1000} s with the default window. *All at once*: room for everybody appears in one moment.`,
    ],
    columns: [
      `${digits(principals * waitersEach)} waiting`,
      'releases',
      'a release',
      'the first of a new slot',
      'all at once',
    ],
    rows,
  };
}

interface Request {
  readonly flow: string;
  /** Made once: an exchange has one anyway. */
  readonly signal: AbortSignal;
  turn: Turn | undefined;
  reservation: Reservation | undefined;
}

async function measure(policyName: 'vtc' | 'window', share: number): Promise<ReleaseFigure> {
  let aheadMs = 0;
  const clock: Clock = {
    ...systemClock,
    nowMs: () => systemClock.nowMs() + aheadMs,
    epochMs: () => systemClock.epochMs() + aheadMs,
  };
  const random = seededRandom(1);
  const windowSizeMs = 60 * slotMs;
  const ledger = createLedger({ clock }, { ...weights, windowSizeMs, maxEntries: 100_000 });
  let policy: TurnPolicy;
  if (policyName === 'vtc') policy = createVtcPolicy(weights);
  else {
    const usage = {
      weighted: (flow: string) => ledger.weighted(flow, model),
      requests: (flow: string) => ledger.requests(flow, model),
      slot: () => ledger.slotAt(clock.nowMs()),
    };
    policy = createWindowPolicy(usage, { priorityTokenWeight: 1, priorityRequestNumWeight: 0 });
  }
  /** With a turn, oldest first: those before `ended` have ended. */
  const running: Request[] = [];
  let ended = 0;
  let room = slots;
  const queue: FairQueue = createFairQueue(
    { clock, policy, freeSlots: () => room - (running.length - ended) },
    {
      maxQueued: 2 * principals * waitersEach,
      maxQueuedPerFlow: 2 * waitersEach,
      queueTimeoutMs: 3_600_000,
      agingAfterMs: 10_000,
      maxConcurrent: 0,
      maxQps: 0,
    },
  );

  function send(request: Request): void {
    const { flow, signal } = request;
    const reserve = (): void => void (request.reservation = ledger.reserve(flow, model, expected));
    const joined = queue.join({ flow, weight: 1, expected, reserve }, () => signal);
    if (joined.kind === 'turn') start(request, joined.turn);
    else if (joined.kind === 'waiting')
      void joined.settled.then((end) => {
        if (end.kind === 'turn') start(request, end.turn);
      });
    else throw new Error('Cannot measure releases: the queue is full');
  }

  function start(request: Request, turn: Turn): void {
    request.turn = turn;
    running.push(request);
    turn.started();
  }

  /** Ends the request that runs longest and sends it again, and waits until who was released in its place knows. */
  async function next(): Promise<void> {
    const request = running[ended++]!;
    request.turn!.end();
    const spent = { ...expected, outputTokens: 100 + Math.floor(400 * random()), estimated: false };
    request.reservation!.settle(spent);
    request.turn!.charge(spent);
    send(request);
    await Promise.resolve();
  }

  async function timed(count: number): Promise<number> {
    const startMs = performance.now();
    for (let i = 0; i < count; i++) await next();
    return performance.now() - startMs;
  }

  for (let i = 0; i < principals * waitersEach + slots; i++) {
    const { signal } = new AbortController();
    send({ flow: `principal-${i % principals}`, signal, turn: undefined, reservation: undefined });
  }
  await timed(warmup * share);
  const steadyMs = await timed(releases * share);

  const newSlotMs: number[] = [];
  for (let i = 0; i < newSlots; i++) {
    aheadMs += slotMs;
    newSlotMs.push(await timed(1));
    await timed(500);
  }

  const before = running.length;
  room = Infinity;
  const startMs = performance.now();
  queue.poke();
  const allAtOnceMs = performance.now() - startMs;
  await Promise.resolve();
  if (running.length - before !== principals * waitersEach)
    throw new Error('Cannot measure releases: not everybody who waited was released');
  return {
    microseconds: (steadyMs * 1000) / (releases * share),
    newSlotMicroseconds: newSlotMs.sort((a, b) => a - b)[newSlots / 2]! * 1000,
    allAtOnceMs,
  };
}
