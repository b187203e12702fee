/** Queues, ledger and limits: what is counted as it happens, and what is read when somebody asks. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** Why a request did not get a turn: waited too long, left, found too many waiting, or the queue was closed. */
export type QueueExit = 'timeout' | 'left' | 'full' | 'closed';

/** The series of the queue of one model, looked up once. */
export interface QueueMetrics {
  /** Once for each request that got a turn, 0 for one that did not have to wait. */
  released(waitSeconds: number): void;
  /** Once for each request that did not. */
  left(reason: QueueExit): void;
}

/** One queue now. */
export interface QueueFigures {
  readonly model: string;
  readonly waiting: number;
  /** Turns under way. */
  readonly running: number;
  /** How many different principals wait. */
  readonly principals: number;
}

/** What was used since the start. */
export interface TokenFigures {
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  /** How many of the input and output tokens no engine counted. */
  readonly estimatedTokens: number;
}

/** How full a bounded memory is. */
interface Bounded {
  readonly size: number;
  /** Since the start. */
  readonly evictions: number;
}

/** What is read when somebody asks. None of it may throw. */
export interface FairnessSources {
  readonly queues: () => Iterable<QueueFigures>;
  readonly ledger: Bounded & { totals(): Iterable<readonly [model: string, TokenFigures]> };
  /** The buckets of token limits. */
  readonly limits: Bounded;
  /** Undefined where no Redis is configured. */
  readonly redisUp: () => boolean | undefined;
}

export interface FairnessMetrics {
  /** The series of a model. Cheap, but keep the result where there is a place for it. */
  queue(model: string): QueueMetrics;
  /** Give only names of configured rules. */
  limitRefused(limit: string): void;
  /** Reads these from now on; a later call replaces an earlier one. */
  watchFairness(sources: FairnessSources): void;
}

export interface FairnessMetricsDeps {
  readonly registry: Registry;
  readonly prefix: string;
  /** Bounds how many models there are. */
  readonly modelLabel: (model: string) => string;
}

/** Short waits are told apart as well as long ones: up to the longest that is usual before a timeout. */
const waitBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Name, help and value of the gauges by model. */
const queueGauges: readonly (readonly [string, string, (queue: QueueFigures) => number])[] = [
  ['requests', 'Requests that wait for their turn.', ({ waiting }) => waiting],
  ['principals', 'Principals with requests that wait for their turn.', ({ principals }) => principals],
  ['running', 'Requests that got their turn and have not ended.', ({ running }) => running],
];

/** The `type` label and its value. */
const tokenTypes: readonly (readonly [string, (tokens: TokenFigures) => number])[] = [
  ['input', ({ inputTokens }) => inputTokens],
  ['cached', ({ cachedInputTokens }) => cachedInputTokens],
  ['output', ({ outputTokens }) => outputTokens],
  ['estimated', ({ estimatedTokens }) => estimatedTokens],
];

/** Registers the series of queues, ledger and limits. Nothing is labelled with who calls. */
export function registerFairnessMetrics({
  registry,
  prefix,
  modelLabel,
}: FairnessMetricsDeps): FairnessMetrics {
  const registers = [registry];
  let sources: FairnessSources | undefined;
  const waits = new Histogram({
    name: `${prefix}queue_wait_seconds`,
    help: 'How long requests waited that got their turn, 0 for those that did not have to wait.',
    buckets: waitBuckets,
    labelNames: ['model'],
    registers,
  });
  const exits = new Counter({
    name: `${prefix}queue_left_total`,
    help: 'Requests that got no turn, by reason.',
    labelNames: ['model', 'reason'],
    registers,
  });
  const refusals = new Counter({
    name: `${prefix}limit_refusals_total`,
    help: 'Requests that a token limit refused, by the name of the rule.',
    labelNames: ['limit'],
    registers,
  });
  for (const [name, help, read] of queueGauges) {
    new Gauge({
      name: `${prefix}queue_${name}`,
      help,
      labelNames: ['model'],
      registers,
      collect() {
        this.reset();
        for (const queue of sources?.queues() ?? [])
          this.inc({ model: modelLabel(queue.model) }, read(queue));
      },
    });
  }
  new Counter({
    name: `${prefix}ledger_tokens_total`,
    help: 'Tokens charged to principals: all input, the cached part of it, output, and what was estimated of all.',
    labelNames: ['model', 'type'],
    registers,
    collect() {
      this.reset();
      for (const [model, tokens] of sources?.ledger.totals() ?? []) {
        for (const [type, read] of tokenTypes) this.inc({ model: modelLabel(model), type }, read(tokens));
      }
    },
  });
  const ledger = { size: 'ledger_entries', evictions: 'ledger_evictions_total', of: 'entries of the ledger' };
  registerBounded({ registry, prefix, read: () => sources?.ledger }, ledger);
  const buckets = {
    size: 'limit_buckets',
    evictions: 'limit_bucket_evictions_total',
    of: 'buckets of limits',
  };
  registerBounded({ registry, prefix, read: () => sources?.limits }, buckets);
  new Gauge({
    name: `${prefix}redis_up`,
    help: '1 where the Redis that shares limits and ledger answers, 0 where this process goes on alone.',
    registers,
    collect() {
      const up = sources?.redisUp();
      // Resetting would show 0, and an alarm where nobody has a Redis.
      if (up === undefined) this.remove();
      else this.set(up ? 1 : 0);
    },
  });

  const queues = new Map<string, QueueMetrics>();
  return {
    queue(model) {
      const label = modelLabel(model);
      let found = queues.get(label);
      if (found === undefined) {
        const wait = waits.labels({ model: label });
        found = {
          released: (waitSeconds) => wait.observe(waitSeconds),
          left: (reason) => exits.inc({ model: label, reason }),
        };
        queues.set(label, found);
      }
      return found;
    },
    limitRefused: (limit) => refusals.inc({ limit }),
    watchFairness(next) {
      sources = next;
    },
  };
}

interface BoundedDeps {
  readonly registry: Registry;
  readonly prefix: string;
  readonly read: () => Bounded | undefined;
}

/** A bounded memory: how full it is, and what was forgotten to stay within its bound. */
function registerBounded(
  { registry, prefix, read }: BoundedDeps,
  names: { readonly size: string; readonly evictions: string; readonly of: string },
): void {
  const registers = [registry];
  new Gauge({
    name: prefix + names.size,
    help: `How many ${names.of} are kept.`,
    registers,
    collect() {
      this.set(read()?.size ?? 0);
    },
  });
  new Counter({
    name: prefix + names.evictions,
    help: `How many ${names.of} were forgotten for lack of room.`,
    registers,
    collect() {
      this.reset();
      this.inc(read()?.evictions ?? 0);
    },
  });
}
