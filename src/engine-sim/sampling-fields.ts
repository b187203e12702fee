/** The sampling fields of the OpenAI dialect that change how much is generated; all others are accepted and ignored. */
import { z } from 'zod';
import type { Limits } from './generation.ts';

const tokenCount = z.int().min(1).nullish();

/** Fields of a request body. */
export const samplingFields = {
  model: z.string().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z
    .looseObject({ include_usage: z.boolean().nullish(), continuous_usage_stats: z.boolean().nullish() })
    .nullish(),
  max_tokens: tokenCount,
  max_completion_tokens: tokenCount,
  min_tokens: z.int().min(0).nullish(),
  ignore_eos: z.boolean().nullish(),
  n: z.int().min(1).max(128).nullish(),
  seed: z.int().nullish(),
};

export type SamplingFields = z.infer<z.ZodObject<typeof samplingFields>>;

/** What the fields ask for. `max_completion_tokens` wins over the older `max_tokens`. */
export function limitsOf(body: SamplingFields, defaultMaxTokens?: number): Limits {
  return {
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? defaultMaxTokens,
    minTokens: body.min_tokens ?? 0,
    ignoreEos: body.ignore_eos ?? false,
    n: body.n ?? 1,
    seed: body.seed ?? 0,
  };
}

/**
 * When a stream carries usage: never, in a last chunk of its own, or in every chunk as well. Like vLLM, stream options that
 * say nothing of it ask for it.
 */
export function usageInStream({ stream_options: options }: SamplingFields): 'none' | 'last' | 'every' {
  if (options === undefined || options === null) return 'none';
  const { include_usage: asked = true, continuous_usage_stats: continuous } = options;
  if (asked !== true) return 'none';
  return continuous === true ? 'every' : 'last';
}
