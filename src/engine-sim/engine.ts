/**
 * A vLLM-like engine as a pure model in virtual time: continuous batching, chunked prefill, KV blocks with a prefix
 * cache, preemption. It has no timers and does no I/O: whoever drives it says what time it is.
 */
import { BlockPool } from './block-pool.ts';
import type { EngineProfile } from './profile.ts';
import { stepMs } from './step-time.ts';

export interface EngineRequest {
  /** Unique among the requests that have not finished. */
  readonly id: string;
  /** At least 1. */
  readonly promptTokens: number;
  /** How many tokens it will generate; 0 for a request that only wants its prompt computed (embeddings). */
  readonly outputTokens: number;
  /** How it ends when it is not aborted. */
  readonly finishReason: 'stop' | 'length';
  /** The identity of each full block of prompt and output (block-hash.ts). Blocks beyond its end are never shared. */
  readonly blockHashes: ArrayLike<number>;
  readonly adapter?: string | undefined;
}

export interface EngineUsage {
  readonly promptTokens: number;
  /** Prompt tokens found in the prefix cache when the request was first scheduled. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

/** When a request passed each station, in virtual ms; undefined where it never did. */
interface RequestTimes {
  readonly queuedAtMs: number;
  readonly scheduledAtMs: number | undefined;
  readonly firstTokenAtMs: number | undefined;
}

/** What happens to a request, in order: queued, then tokens (the first as `first-token`), then finished, exactly once. */
export type EngineEvent =
  | { readonly kind: 'queued'; readonly id: string; readonly atMs: number }
  | {
      readonly kind: 'first-token';
      readonly id: string;
      readonly atMs: number;
      readonly sinceQueuedMs: number;
      readonly cachedTokens: number;
    }
  | {
      readonly kind: 'token';
      readonly id: string;
      readonly atMs: number;
      readonly generated: number;
      readonly sinceLastMs: number;
    }
  | {
      readonly kind: 'finished';
      readonly id: string;
      readonly atMs: number;
      readonly reason: 'stop' | 'length' | 'abort';
      readonly usage: EngineUsage;
      readonly times: RequestTimes;
    };

export interface EngineStats {
  readonly running: number;
  readonly waiting: number;
  readonly usedBlocks: number;
  readonly totalBlocks: number;
  readonly cachedBlocks: number;
  readonly runningAdapters: readonly string[];
  readonly waitingAdapters: readonly string[];
  /** Since the engine was created. */
  readonly totals: Readonly<EngineTotals>;
}

export interface EngineTotals {
  steps: number;
  prefixQueries: number;
  prefixHits: number;
  promptTokens: number;
  generationTokens: number;
  preemptions: number;
}

interface Sequence {
  readonly request: EngineRequest;
  readonly queuedAtMs: number;
  blocks: number[];
  /** Tokens whose KV is in the blocks. */
  computed: number;
  generated: number;
  /** Leading blocks already offered to the prefix cache. */
  registered: number;
  cachedTokens: number;
  scheduledAtMs: number | undefined;
  firstTokenAtMs: number | undefined;
  lastTokenAtMs: number;
  /** Tokens that the step under way computes. */
  inStep: number;
  ended: boolean;
}

/** One engine. `onEvent` is called from `submit`, `abort` and `advance`; it may call `submit` and `abort` itself. */
export class Engine {
  readonly #profile: EngineProfile;
  readonly #onEvent: (event: EngineEvent) => void;
  readonly #pool: BlockPool;
  readonly #sequences = new Map<string, Sequence>();
  /** Oldest first; a preempted sequence returns to the front. */
  #waiting: Sequence[] = [];
  /** In the order of admission: the last is preempted first. */
  #running: Sequence[] = [];
  #step: { readonly members: readonly Sequence[]; readonly endsAtMs: number } | undefined;
  #nowMs = 0;
  #slowdown = 1;
  readonly #totals: EngineTotals = {
    steps: 0,
    prefixQueries: 0,
    prefixHits: 0,
    promptTokens: 0,
    generationTokens: 0,
    preemptions: 0,
  };

  constructor(profile: EngineProfile, onEvent: (event: EngineEvent) => void) {
    this.#profile = profile;
    this.#onEvent = onEvent;
    this.#pool = new BlockPool(profile.kvBlocks);
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Queues a request at the present virtual time. Throws where it could never fit, or its id is in use. */
  submit(request: EngineRequest): void {
    const neededBlocks = Math.ceil((request.promptTokens + request.outputTokens) / this.#profile.blockSize);
    if (neededBlocks > this.#pool.total) {
      throw new Error(
        `Cannot submit "${request.id}": it needs ${neededBlocks} KV blocks, the engine has ${this.#pool.total}`,
      );
    }
    if (request.promptTokens < 1) throw new Error(`Cannot submit "${request.id}": its prompt is empty`);
    if (this.#sequences.has(request.id)) throw new Error(`Cannot submit "${request.id}": the id is in use`);
    const sequence: Sequence = {
      request,
      queuedAtMs: this.#nowMs,
      blocks: [],
      computed: 0,
      generated: 0,
      registered: 0,
      cachedTokens: 0,
      scheduledAtMs: undefined,
      firstTokenAtMs: undefined,
      lastTokenAtMs: this.#nowMs,
      inStep: 0,
      ended: false,
    };
    this.#sequences.set(request.id, sequence);
    this.#waiting.push(sequence);
    this.#onEvent({ kind: 'queued', id: request.id, atMs: this.#nowMs });
  }

  /** Ends a request now and frees its blocks; does nothing where it has ended already. */
  abort(id: string): void {
    const sequence = this.#sequences.get(id);
    if (sequence === undefined) return;
    this.#waiting = this.#waiting.filter((other) => other !== sequence);
    this.#running = this.#running.filter((other) => other !== sequence);
    this.#end(sequence, 'abort');
  }

  /** Multiplies the duration of every step that starts from now on. */
  setSlowdown(factor: number): void {
    this.#slowdown = factor;
  }

  /** When something will happen: the end of the step under way, or now where one is due; undefined while idle. */
  nextEventMs(): number | undefined {
    if (this.#step !== undefined) return this.#step.endsAtMs;
    return this.#sequences.size > 0 ? this.#nowMs : undefined;
  }

  /** Moves virtual time forward, running every step on the way. Requests of the same instant share their first step. */
  advance(toMs: number): void {
    for (;;) {
      this.#step ??= this.#startStep();
      if (this.#step === undefined || this.#step.endsAtMs > toMs) break;
      this.#nowMs = this.#step.endsAtMs;
      const { members } = this.#step;
      this.#step = undefined;
      this.#finishStep(members);
    }
    this.#nowMs = Math.max(this.#nowMs, toMs);
  }

  stats(): EngineStats {
    return {
      running: this.#running.length,
      waiting: this.#waiting.length,
      usedBlocks: this.#pool.total - this.#pool.freeCount,
      totalBlocks: this.#pool.total,
      cachedBlocks: this.#pool.cachedCount,
      runningAdapters: adaptersOf(this.#running),
      waitingAdapters: adaptersOf(this.#waiting),
      totals: { ...this.#totals },
    };
  }

  #startStep(): { members: readonly Sequence[]; endsAtMs: number } | undefined {
    const members: Sequence[] = [];
    // Running sequences first: nobody who is generating waits for a new prompt.
    const { budget, preempted } = this.#scheduleRunning(members);
    // Blocks were just taken from somebody: admitting others now would take them away again.
    if (!preempted) this.#admitWaiting(members, budget);
    if (members.length === 0) return undefined;
    this.#totals.steps++;
    return { members, endsAtMs: this.#nowMs + stepMs(this.#profile, members.map(workOf)) * this.#slowdown };
  }

  #scheduleRunning(members: Sequence[]): { budget: number; preempted: boolean } {
    let budget = this.#profile.maxNumBatchedTokens;
    let preempted = false;
    for (let index = 0; index < this.#running.length && budget > 0; index++) {
      const sequence = this.#running[index];
      if (sequence === undefined) break;
      const tokens = Math.min(knownTokens(sequence) - sequence.computed, budget);
      while (!this.#grow(sequence, tokens)) {
        preempted = true;
        if (this.#preemptLast() === sequence) return { budget, preempted };
      }
      budget -= tokens;
      this.#join(members, sequence, tokens);
    }
    return { budget, preempted };
  }

  #admitWaiting(members: Sequence[], fullBudget: number): void {
    const adapters = new Set(adaptersOf(this.#running));
    let budget = fullBudget;
    let index = 0;
    while (index < this.#waiting.length && budget > 0 && this.#running.length < this.#profile.maxNumSeqs) {
      const sequence = this.#waiting[index];
      if (sequence === undefined) break;
      const { adapter } = sequence.request;
      if (adapter !== undefined && !adapters.has(adapter) && adapters.size >= this.#profile.maxLoras) {
        index++;
        continue;
      }
      const tokens = this.#admit(sequence, budget);
      if (tokens === 0) break;
      this.#waiting.splice(index, 1);
      this.#running.push(sequence);
      if (adapter !== undefined) adapters.add(adapter);
      budget -= tokens;
      this.#join(members, sequence, tokens);
    }
  }

  /** Gives a waiting sequence its cached prefix and blocks for its first chunk; 0 where there are too few blocks. */
  #admit(sequence: Sequence, budget: number): number {
    const { blockSize } = this.#profile;
    const known = knownTokens(sequence);
    // The last token is always computed: its logits are what the next token is sampled from.
    const cached = this.#pool.findPrefix(sequence.request.blockHashes, Math.floor((known - 1) / blockSize));
    const cachedTokens = cached.length * blockSize;
    const tokens = Math.min(known - cachedTokens, budget);
    const blocks = this.#pool.claim(cached, Math.ceil((cachedTokens + tokens) / blockSize) - cached.length);
    if (blocks === undefined) return 0;
    sequence.blocks = blocks;
    sequence.computed = cachedTokens;
    sequence.registered = cached.length;
    if (sequence.scheduledAtMs === undefined) {
      sequence.scheduledAtMs = this.#nowMs;
      sequence.cachedTokens = cachedTokens;
      this.#totals.prefixQueries += known;
      this.#totals.prefixHits += cachedTokens;
    }
    return tokens;
  }

  #grow(sequence: Sequence, tokens: number): boolean {
    const needed = Math.ceil((sequence.computed + tokens) / this.#profile.blockSize) - sequence.blocks.length;
    if (needed <= 0) return true;
    const blocks = this.#pool.claim([], needed);
    if (blocks === undefined) return false;
    sequence.blocks.push(...blocks);
    return true;
  }

  #preemptLast(): Sequence | undefined {
    const victim = this.#running.pop();
    if (victim === undefined) return undefined;
    this.#totals.preemptions++;
    this.#pool.release(victim.blocks);
    victim.blocks = [];
    victim.computed = 0;
    victim.registered = 0;
    this.#waiting.unshift(victim);
    return victim;
  }

  /** Like vLLM, blocks are findable from the moment their tokens are scheduled: requests of one step share them too. */
  #join(members: Sequence[], sequence: Sequence, tokens: number): void {
    sequence.inStep = tokens;
    members.push(sequence);
    const full = Math.floor((sequence.computed + tokens) / this.#profile.blockSize);
    for (; sequence.registered < full; sequence.registered++) {
      const hash = sequence.request.blockHashes[sequence.registered];
      const block = sequence.blocks[sequence.registered];
      if (hash !== undefined && block !== undefined) this.#pool.register(block, hash);
    }
  }

  #finishStep(members: readonly Sequence[]): void {
    for (const sequence of members) {
      if (sequence.ended) continue;
      sequence.computed += sequence.inStep;
      sequence.inStep = 0;
      if (sequence.computed === knownTokens(sequence)) this.#sample(sequence);
    }
    if (members.some((sequence) => sequence.ended))
      this.#running = this.#running.filter((sequence) => !sequence.ended);
  }

  #sample(sequence: Sequence): void {
    const { id, promptTokens, outputTokens, finishReason } = sequence.request;
    const atMs = this.#nowMs;
    if (sequence.firstTokenAtMs === undefined) this.#totals.promptTokens += promptTokens;
    if (outputTokens > 0) {
      const sinceLastMs = atMs - sequence.lastTokenAtMs;
      sequence.generated++;
      sequence.lastTokenAtMs = atMs;
      this.#totals.generationTokens++;
      if (sequence.firstTokenAtMs === undefined) {
        sequence.firstTokenAtMs = atMs;
        this.#onEvent({
          kind: 'first-token',
          id,
          atMs,
          sinceQueuedMs: atMs - sequence.queuedAtMs,
          cachedTokens: sequence.cachedTokens,
        });
      } else {
        this.#onEvent({ kind: 'token', id, atMs, generated: sequence.generated, sinceLastMs });
      }
    }
    // The listener may have aborted it just now.
    if (!sequence.ended && sequence.generated >= outputTokens) this.#end(sequence, finishReason);
  }

  #end(sequence: Sequence, reason: 'stop' | 'length' | 'abort'): void {
    sequence.ended = true;
    this.#sequences.delete(sequence.request.id);
    this.#pool.release(sequence.blocks);
    sequence.blocks = [];
    this.#onEvent({
      kind: 'finished',
      id: sequence.request.id,
      atMs: this.#nowMs,
      reason,
      usage: {
        promptTokens: sequence.request.promptTokens,
        cachedTokens: sequence.cachedTokens,
        completionTokens: sequence.generated,
      },
      times: {
        queuedAtMs: sequence.queuedAtMs,
        scheduledAtMs: sequence.scheduledAtMs,
        firstTokenAtMs: sequence.firstTokenAtMs,
      },
    });
  }
}

/** Tokens whose values are known: the prompt and what was generated so far. */
function knownTokens(sequence: Sequence): number {
  return sequence.request.promptTokens + sequence.generated;
}

function workOf(sequence: Sequence): { tokens: number; context: number } {
  return { tokens: sequence.inStep, context: sequence.computed };
}

function adaptersOf(sequences: readonly Sequence[]): string[] {
  const names = new Set<string>();
  for (const { request } of sequences) if (request.adapter !== undefined) names.add(request.adapter);
  return [...names];
}
