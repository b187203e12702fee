/** How fairly a policy shares engines among clients that always have requests waiting, in virtual time. */
import { createFairQueue, type Turn } from '../../src/fairness/fair-queue.ts';
import { createLedger, type Reservation } from '../../src/fairness/ledger.ts';
import { createFifoPolicy } from '../../src/fairness/policies/fifo.ts';
import { createVtcPolicy } from '../../src/fairness/policies/vtc.ts';
import { createWindowPolicy } from '../../src/fairness/policies/window.ts';
import { weightedTokens, type TokenCount } from '../../src/fairness/token-count.ts';
import { createTokenEstimates } from '../../src/fairness/token-estimates.ts';
import type { TurnPolicy } from '../../src/fairness/turn-policy.ts';
import { seededRandom } from '../../src/engine-sim/random.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { FakeClock } from '../support/fake-clock.ts';

export type SimulatedPolicy = 'vtc' | 'window' | 'fifo';

export interface SimulatedClient {
  readonly name: string;
  /** Its share among others, more than 0. Only `vtc` looks at it. */
  readonly weight: number;
  /** How many requests it has waiting or running at any time: it sends another as soon as one ends. */
  readonly backlog: number;
  /** Tokens of a request: drawn evenly between the two. */
  readonly inputTokens: readonly [least: number, most: number];
  readonly outputTokens: readonly [least: number, most: number];
}

export interface FairnessSimulation {
  readonly policy: SimulatedPolicy;
  readonly clients: readonly SimulatedClient[];
  /** How many requests the engines serve at a time. */
  readonly slots: number;
  readonly durationMs: number;
  readonly sampleEveryMs: number;
  /** Default 300,000. */
  readonly windowSizeMs?: number;
  /** Default 1. */
  readonly seed?: number;
}

/** What clients got up to a moment: weighted tokens, in the order of the clients. */
export interface ServiceSample {
  readonly atMs: number;
  readonly service: readonly number[];
}

interface Running {
  readonly client: number;
  readonly turn: Turn;
  readonly reservation: Reservation;
  readonly tokens: TokenCount;
  readonly startedAtMs: number;
  readonly endsAtMs: number;
}

const weights = { inputTokenWeight: 1, outputTokenWeight: 2, cachedTokenWeight: 1 };
const inputTokenMs = 0.1;
const outputTokenMs = 20;
const model = 'simulated';
const promptBytesPerToken = 4;

/**
 * Runs a queue with a policy, as it is, in front of a server with so many slots; time is virtual and the same seed gives
 * the same figures. A request takes time by its tokens, whatever else runs, and its service grows evenly from its start to
 * its end. What a request will use is not known before: it is estimated from those that ended, as in production.
 *
 * Resolves to one sample for each `sampleEveryMs`, beginning with the first such moment.
 */
export async function simulateFairness({
  policy,
  clients,
  slots,
  durationMs,
  sampleEveryMs,
  windowSizeMs = 300_000,
  seed = 1,
}: FairnessSimulation): Promise<readonly ServiceSample[]> {
  const clock = new FakeClock();
  const random = seededRandom(seed);
  const ledger = createLedger({ clock }, { ...weights, windowSizeMs, maxEntries: 10_000 });
  const estimates = createTokenEstimates();
  const running = new Set<Running>();
  const served = clients.map(() => 0);
  const queue = createFairQueue(
    { clock, policy: createPolicy(policy, ledger, clock), freeSlots: () => slots - running.size },
    {
      maxQueued: Infinity,
      maxQueuedPerFlow: Infinity,
      // Everybody waits as long as it takes: the figures are of the policy alone.
      queueTimeoutMs: 2 * durationMs,
      agingAfterMs: 0,
      maxConcurrent: 0,
      maxQps: 0,
    },
  );

  function send(client: number): void {
    const { name, weight, inputTokens, outputTokens } = clients[client]!;
    const tokens: TokenCount = {
      inputTokens: draw(inputTokens, random),
      cachedInputTokens: 0,
      outputTokens: draw(outputTokens, random),
    };
    const promptBytes = promptBytesPerToken * tokens.inputTokens;
    const expected: TokenCount = {
      inputTokens: estimates.input(model, promptBytes),
      cachedInputTokens: 0,
      outputTokens: estimates.output(name, model, undefined),
    };
    let reservation: Reservation | undefined;
    const reserve = (): void => void (reservation = ledger.reserve(name, model, expected));
    const joined = queue.join({ flow: name, weight, expected, reserve }, () => new AbortController().signal);
    if (joined.kind === 'turn') start(client, tokens, joined.turn, reservation!);
    if (joined.kind === 'waiting')
      void joined.settled.then((end) => {
        if (end.kind === 'turn') start(client, tokens, end.turn, reservation!);
      });
  }

  function start(client: number, tokens: TokenCount, turn: Turn, reservation: Reservation): void {
    const startedAtMs = clock.nowMs();
    const serviceMs = inputTokenMs * tokens.inputTokens + outputTokenMs * tokens.outputTokens;
    running.add({ client, turn, reservation, tokens, startedAtMs, endsAtMs: startedAtMs + serviceMs });
    turn.started();
  }

  function end(ended: Running): void {
    const { client, turn, reservation, tokens } = ended;
    running.delete(ended);
    served[client]! += weightedTokens(tokens, weights);
    turn.end();
    reservation.settle({ ...tokens, estimated: false });
    turn.charge(tokens);
    estimates.learn(clients[client]!.name, model, {
      promptBytes: promptBytesPerToken * tokens.inputTokens,
      stream: true,
      responseBytes: undefined,
      usage: tokens,
    });
    send(client);
  }

  /** What was served, with the part that was done of what is under way. */
  function sample(): ServiceSample {
    const atMs = clock.nowMs();
    const service = [...served];
    for (const { client, tokens, startedAtMs, endsAtMs } of running)
      service[client]! += (weightedTokens(tokens, weights) * (atMs - startedAtMs)) / (endsAtMs - startedAtMs);
    return { atMs, service };
  }

  for (const [client, { backlog }] of clients.entries()) for (let i = 0; i < backlog; i++) send(client);
  const samples: ServiceSample[] = [];
  for (let sampleAtMs = sampleEveryMs; sampleAtMs <= durationMs; sampleAtMs += sampleEveryMs) {
    for (
      let first = firstToEnd(running);
      first !== undefined && first.endsAtMs <= sampleAtMs;
      first = firstToEnd(running)
    ) {
      clock.advance(first.endsAtMs - clock.nowMs());
      end(first);
      // Whoever got its turn learns of it in the next microtask.
      await Promise.resolve();
    }
    clock.advance(sampleAtMs - clock.nowMs());
    samples.push(sample());
  }
  queue.close();
  return samples;
}

/** The largest difference, at any time, between what any two clients got by weight. */
export function serviceGap(samples: readonly ServiceSample[], clients: readonly SimulatedClient[]): number {
  const gaps = samples.map(({ service }) => {
    const byWeight = service.map((tokens, client) => tokens / clients[client]!.weight);
    return Math.max(...byWeight) - Math.min(...byWeight);
  });
  return Math.max(...gaps);
}

function createPolicy(
  policy: SimulatedPolicy,
  ledger: ReturnType<typeof createLedger>,
  clock: Clock,
): TurnPolicy {
  switch (policy) {
    case 'vtc':
      return createVtcPolicy(weights);
    case 'window':
      return createWindowPolicy(
        {
          weighted: (flow) => ledger.weighted(flow, model),
          requests: (flow) => ledger.requests(flow, model),
          slot: () => ledger.slotAt(clock.nowMs()),
        },
        { priorityTokenWeight: 1, priorityRequestNumWeight: 0 },
      );
    case 'fifo':
      return createFifoPolicy();
    default:
      return policy satisfies never;
  }
}

function draw([least, most]: readonly [number, number], random: () => number): number {
  return least + Math.floor(random() * (most - least + 1));
}

function firstToEnd(running: ReadonlySet<Running>): Running | undefined {
  let first: Running | undefined;
  for (const request of running)
    if (first === undefined || request.endsAtMs < first.endsAtMs) first = request;
  return first;
}
