/** The `/metrics` page of a vLLM engine: its real names, labels and buckets, fed by the events of the engine model. */
import type { EngineEvent, EngineStats } from './engine.ts';
import type { EngineProfile } from './profile.ts';
import type { Family, Labels, Sample } from './prometheus-page.ts';
import { Histogram, renderPage } from './prometheus-page.ts';

/** `v1` is what vLLM exports since its V1 engine, `v0` the names before it. */
export type MetricsGeneration = 'v0' | 'v1';

export interface EngineMetricsPageOptions {
  readonly generation: MetricsGeneration;
  readonly model: string;
  readonly profile: EngineProfile;
  /** Virtual ms in one real ms: the page speaks of the seconds that clients see. */
  readonly speed: number;
  readonly createdSeconds: number;
}

const firstTokenBounds = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640,
  2560,
];
const perTokenBounds = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const requestBounds = [
  0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680,
];
const finishReasons = ['stop', 'length', 'abort', 'error'] as const;
/** vLLM keeps one series for each combination of adapters it ever saw; here the oldest go. */
const maxLoraSeries = 1000;

export class EngineMetricsPage {
  readonly #options: EngineMetricsPageOptions;
  readonly #labels: Labels;
  readonly #firstToken = new Histogram(firstTokenBounds);
  readonly #perToken = new Histogram(perTokenBounds);
  readonly #endToEnd = new Histogram(requestBounds);
  readonly #queueTime = new Histogram(requestBounds);
  readonly #prefillTime = new Histogram(requestBounds);
  readonly #decodeTime = new Histogram(requestBounds);
  readonly #promptTokens: Histogram;
  readonly #generationTokens: Histogram;
  readonly #finished = new Map<string, number>(finishReasons.map((reason) => [reason, 0]));
  /** Combinations of running and waiting adapters, with the Unix time each was last current. */
  readonly #loraSeries = new Map<
    string,
    { readonly running: string; readonly waiting: string; readonly seenSeconds: number }
  >();

  constructor(options: EngineMetricsPageOptions) {
    this.#options = options;
    const base = { model_name: options.model };
    this.#labels = options.generation === 'v1' ? { ...base, engine: '0' } : base;
    const tokenBounds = oneTwoFive(options.profile.maxModelLen);
    this.#promptTokens = new Histogram(tokenBounds);
    this.#generationTokens = new Histogram(tokenBounds);
  }

  /** Counts what an event says. */
  observe(event: EngineEvent): void {
    switch (event.kind) {
      case 'queued':
        return;
      case 'first-token':
        this.#firstToken.observe(this.#seconds(event.sinceQueuedMs));
        return;
      case 'token':
        this.#perToken.observe(this.#seconds(event.sinceLastMs));
        return;
      case 'finished':
        this.#observeFinished(event);
        return;
      default:
        event satisfies never;
    }
  }

  /** The page as it is now. `lora` is undefined where the engine never had an adapter. */
  render(stats: EngineStats, lora: { readonly nowSeconds: number } | undefined): string {
    if (lora !== undefined) this.#seeAdapters(stats, lora.nowSeconds);
    return renderPage(
      [...this.#engineFamilies(stats), ...this.#requestFamilies(), ...this.#loraFamily()],
      this.#options.createdSeconds,
    );
  }

  #observeFinished({ atMs, reason, usage, times }: Extract<EngineEvent, { kind: 'finished' }>): void {
    this.#finished.set(reason, (this.#finished.get(reason) ?? 0) + 1);
    if (reason === 'abort') return;
    const scheduledAtMs = times.scheduledAtMs ?? atMs;
    const firstTokenAtMs = times.firstTokenAtMs ?? atMs;
    this.#endToEnd.observe(this.#seconds(atMs - times.queuedAtMs));
    this.#queueTime.observe(this.#seconds(scheduledAtMs - times.queuedAtMs));
    this.#prefillTime.observe(this.#seconds(firstTokenAtMs - scheduledAtMs));
    this.#decodeTime.observe(this.#seconds(atMs - firstTokenAtMs));
    this.#promptTokens.observe(usage.promptTokens);
    this.#generationTokens.observe(usage.completionTokens);
  }

  #seconds(virtualMs: number): number {
    return virtualMs / this.#options.speed / 1000;
  }

  #engineFamilies(stats: EngineStats): Family[] {
    const { generation, profile } = this.#options;
    const usage = stats.usedBlocks / stats.totalBlocks;
    const { totals } = stats;
    const v0 = generation === 'v0';
    return [
      this.#one(
        'vllm:num_requests_running',
        'gauge',
        'Number of requests in model execution batches.',
        stats.running,
      ),
      this.#one(
        'vllm:num_requests_waiting',
        'gauge',
        'Number of requests waiting to be processed.',
        stats.waiting,
      ),
      ...(v0
        ? [this.#one('vllm:num_requests_swapped', 'gauge', 'Number of requests swapped to CPU.', 0)]
        : []),
      v0
        ? this.#one(
            'vllm:gpu_cache_usage_perc',
            'gauge',
            'GPU KV-cache usage. 1 means 100 percent usage.',
            usage,
          )
        : this.#one('vllm:kv_cache_usage_perc', 'gauge', 'KV-cache usage. 1 means 100 percent usage.', usage),
      this.#one(
        v0 ? 'vllm:gpu_prefix_cache_queries_total' : 'vllm:prefix_cache_queries_total',
        'counter',
        'Prefix cache queries, in terms of number of queried tokens.',
        totals.prefixQueries,
      ),
      this.#one(
        v0 ? 'vllm:gpu_prefix_cache_hits_total' : 'vllm:prefix_cache_hits_total',
        'counter',
        'Prefix cache hits, in terms of number of cached tokens.',
        totals.prefixHits,
      ),
      this.#one(
        'vllm:num_preemptions_total',
        'counter',
        'Cumulative number of preemption from the engine.',
        totals.preemptions,
      ),
      this.#one(
        'vllm:prompt_tokens_total',
        'counter',
        'Number of prefill tokens processed.',
        totals.promptTokens,
      ),
      this.#one(
        'vllm:generation_tokens_total',
        'counter',
        'Number of generation tokens processed.',
        totals.generationTokens,
      ),
      {
        name: 'vllm:cache_config_info',
        help: 'Information of the LLMEngine CacheConfig',
        type: 'gauge',
        samples: [{ labels: cacheConfigLabels(profile, generation), value: 1 }],
      },
    ];
  }

  #requestFamilies(): Family[] {
    const v0 = this.#options.generation === 'v0';
    return [
      {
        name: 'vllm:request_success_total',
        help: 'Count of successfully processed requests.',
        type: 'counter',
        samples: [...this.#finished].map(([reason, value]) => ({
          labels: { ...this.#labels, finished_reason: reason },
          value,
        })),
      },
      this.#one(
        'vllm:request_prompt_tokens',
        'histogram',
        'Number of prefill tokens processed.',
        this.#promptTokens,
      ),
      this.#one(
        'vllm:request_generation_tokens',
        'histogram',
        'Number of generation tokens processed.',
        this.#generationTokens,
      ),
      this.#one(
        'vllm:time_to_first_token_seconds',
        'histogram',
        'Histogram of time to first token in seconds.',
        this.#firstToken,
      ),
      v0
        ? this.#one(
            'vllm:time_per_output_token_seconds',
            'histogram',
            'Histogram of time per output token in seconds.',
            this.#perToken,
          )
        : this.#one(
            'vllm:inter_token_latency_seconds',
            'histogram',
            'Histogram of inter-token latency in seconds.',
            this.#perToken,
          ),
      this.#one(
        'vllm:e2e_request_latency_seconds',
        'histogram',
        'Histogram of e2e request latency in seconds.',
        this.#endToEnd,
      ),
      this.#one(
        'vllm:request_queue_time_seconds',
        'histogram',
        'Histogram of time spent in WAITING phase for request.',
        this.#queueTime,
      ),
      this.#one(
        'vllm:request_prefill_time_seconds',
        'histogram',
        'Histogram of time spent in PREFILL phase for request.',
        this.#prefillTime,
      ),
      this.#one(
        'vllm:request_decode_time_seconds',
        'histogram',
        'Histogram of time spent in DECODE phase for request.',
        this.#decodeTime,
      ),
    ];
  }

  #loraFamily(): Family[] {
    if (this.#loraSeries.size === 0) return [];
    const samples: Sample[] = [...this.#loraSeries.values()].map(({ running, waiting, seenSeconds }) => ({
      labels: {
        max_lora: String(this.#options.profile.maxLoras),
        running_lora_adapters: running,
        waiting_lora_adapters: waiting,
      },
      value: seenSeconds,
    }));
    return [
      { name: 'vllm:lora_requests_info', help: 'Running stats on lora requests.', type: 'gauge', samples },
    ];
  }

  #seeAdapters(stats: EngineStats, nowSeconds: number): void {
    const running = stats.runningAdapters.join(',');
    const waiting = stats.waitingAdapters.join(',');
    this.#loraSeries.set(`${running}/${waiting}`, { running, waiting, seenSeconds: nowSeconds });
    const oldest = this.#loraSeries.keys().next();
    if (this.#loraSeries.size > maxLoraSeries && oldest.done !== true) this.#loraSeries.delete(oldest.value);
  }

  #one(name: string, type: Family['type'], help: string, value: number | Histogram): Family {
    return { name, help, type, samples: [{ labels: this.#labels, value }] };
  }
}

function cacheConfigLabels(profile: EngineProfile, generation: MetricsGeneration): Labels {
  const labels = {
    block_size: String(profile.blockSize),
    cache_dtype: 'auto',
    enable_prefix_caching: 'True',
    gpu_memory_utilization: '0.9',
    num_gpu_blocks: String(profile.kvBlocks),
  };
  return generation === 'v1' ? { ...labels, engine: '0' } : labels;
}

/** 1, 2, 5, 10, 20, 50 … up to `max`: vLLM's buckets for token counts. */
function oneTwoFive(max: number): number[] {
  const bounds: number[] = [];
  for (let power = 1; power <= max; power *= 10)
    bounds.push(...[1, 2, 5].map((digit) => digit * power).filter((bound) => bound <= max));
  return bounds;
}
