/** Token counts, and the form each dialect gives them. */
import type { EngineUsage } from './engine.ts';

export type TokenUsage = EngineUsage;

/** `usage` of chat completions, completions and embeddings. */
export function openAiUsage({ promptTokens, cachedTokens, completionTokens }: TokenUsage): unknown {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

/** `usage` of responses. */
export function responsesUsage({ promptTokens, cachedTokens, completionTokens }: TokenUsage): unknown {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: promptTokens + completionTokens,
  };
}

/** `usage` of Anthropic messages: like vLLM, `input_tokens` is the whole prompt and the cache is not mentioned. */
export function anthropicUsage({ promptTokens, completionTokens }: TokenUsage): unknown {
  return { input_tokens: promptTokens, output_tokens: completionTokens };
}
