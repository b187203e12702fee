/** The contracts between a profile and its plugins. A plugin imports this file, endpoint types and lib; nothing else. */
import type { ZodType } from 'zod';
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { Clock } from '../lib/clock.ts';

/** What a plugin may know about a request. */
export interface InferenceRequest {
  /** The exchange id, for logs and explanations. */
  readonly id: string;
  /** The model name the engine will be asked for. */
  readonly model: string;
  /**
   * The head of the prompt as UTF-8 text in the engine's order (chat is rendered as
   * `<|im_start|>{role}\n{content}<|im_end|>\n`), cut at what the profile asked for with `promptHeadBytes`. Empty where
   * the request has no text.
   */
  readonly promptHead: Uint8Array;
  /** Size of the whole prompt text in bytes, estimated from the body where it was not rendered whole. */
  readonly promptBytes: number;
  readonly stream: boolean;
  /** Upper bound of output tokens that the client set. */
  readonly maxOutputTokens: number | undefined;
  /** What ties requests of one conversation together, where the client said so. */
  readonly sessionKey: string | undefined;
}

/** How an exchange ended, as far as plugins may learn from it. */
export interface Outcome {
  /** Who answered; undefined where nobody did. */
  readonly servedBy: Endpoint | undefined;
  readonly completed: boolean;
  readonly ttftMs: number | undefined;
  readonly durationMs: number;
  readonly inputTokens: number | undefined;
  readonly cachedInputTokens: number | undefined;
  readonly outputTokens: number | undefined;
}

/** How full the bounded memory of a plugin is. */
export interface PluginMemory {
  readonly entries: number;
  /** Entries dropped to stay within the bound. A plugin that replaces another goes on counting where that one stood. */
  readonly evictions: number;
}

/**
 * What a plugin that learns may also implement. None of these may throw. Exchanges outlive profiles: what is settled or
 * lost may have been routed before this plugin was made.
 */
export interface LearningHooks {
  /** Called in the tick of the decision, after the pick: `endpoint` is the first of the ranking. */
  onRouted?(request: InferenceRequest, endpoint: Endpoint): void;
  /** Called once when the exchange ended. */
  onSettled?(request: InferenceRequest, routedTo: Endpoint, outcome: Outcome): void;
  /** The endpoint left, restarted or became unhealthy: what was learned about it no longer holds. */
  onEndpointLost?(endpoint: Endpoint): void;
  /** For the metrics: every plugin that remembers says how much. */
  memory?(): PluginMemory;
}

/** Removes endpoints that must not serve this request. Keeps order. */
export interface Filter extends LearningHooks {
  keep(request: InferenceRequest, endpoint: Endpoint): boolean;
}

/** Writes a score in [0, 1], higher is better, for each candidate: scores[i] belongs to candidates[i]. Out of range is clamped. */
export interface Scorer extends LearningHooks {
  score(request: InferenceRequest, candidates: readonly Endpoint[], scores: Float64Array): void;
  /** How many bytes of prompt text this scorer reads; absent means none. */
  readonly promptHeadBytes?: number;
}

/** Orders candidates by total score, best first, at most `max` of them. Ties rotate, never random by accident. */
export interface Picker extends LearningHooks {
  rank(candidates: readonly Endpoint[], totals: Float64Array, max: number): Endpoint[];
}

/** What a plugin is given besides its parameters. */
export interface PluginDeps {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

interface Definition<Params, Instance> {
  /** The name in configuration. */
  readonly type: string;
  /** Other names that configurations in the field use for it. */
  readonly aliases?: readonly string[];
  /** One sentence for `sluice check` and the docs. */
  readonly description: string;
  /** Parameters with defaults and descriptions; argument names are matched without regard to case. */
  readonly params: ZodType<Params>;
  /**
   * Makes a plugin, which may throw only where memory runs out. `previous` is the plugin of the same kind and type that
   * this one replaces, with other parameters: take over what it learned as far as that still holds, and leave it able to
   * work, since the new profile may yet be thrown away. It is not asked again once the new profile is in use.
   */
  create(params: Params, deps: PluginDeps, previous?: Instance): Instance;
}

export interface FilterDefinition<Params = unknown> extends Definition<Params, Filter> {
  readonly kind: 'filter';
  /** What an empty result means for the client: everybody is full (429), or nobody can (503). */
  readonly whenEmpty: 'saturated' | 'ineligible';
}

export interface ScorerDefinition<Params = unknown> extends Definition<Params, Scorer> {
  readonly kind: 'scorer';
  /** The scorer makes no sense beside others (`random`). */
  readonly exclusive?: boolean;
}

export interface PickerDefinition<Params = unknown> extends Definition<Params, Picker> {
  readonly kind: 'picker';
}

export type PluginDefinition<Params = unknown> =
  FilterDefinition<Params> | ScorerDefinition<Params> | PickerDefinition<Params>;
