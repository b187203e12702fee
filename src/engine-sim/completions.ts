/** `POST /v1/completions`. */
import { z } from 'zod';
import type { Handler } from './exchange.ts';
import { createdSeconds, readJson, replyId, sendJson } from './exchange.ts';
import { planChoices } from './generation.ts';
import { streamOpenAi } from './openai-stream.ts';
import { promptInputSchema, promptTokens } from './prompt-input.ts';
import { runGeneration } from './run-generation.ts';
import { limitsOf, samplingFields, usageInStream } from './sampling-fields.ts';
import { openAiUsage } from './token-usage.ts';

const bodySchema = z.looseObject({ ...samplingFields, prompt: promptInputSchema });
/** The OpenAI completions API says 16, and vLLM follows it. */
const defaultMaxTokens = 16;

/** Answers completions of one or several prompts, whole or streamed. */
export const completions: Handler = (sim, exchange) => {
  const body = readJson(exchange.body, bodySchema);
  const model = sim.models.resolve(body.model);
  const job = {
    prompts: promptTokens(body.prompt),
    limits: limitsOf(body, defaultMaxTokens),
    adapter: model.adapter,
  };
  const choices = planChoices(job, sim.profile, sim.seed, sim.nextId);
  const head = {
    id: replyId('cmpl', exchange),
    object: 'text_completion',
    created: createdSeconds(sim),
    model: model.name,
  };

  if (body.stream === true) {
    streamOpenAi(sim, exchange, choices, {
      head,
      usage: usageInStream(body),
      opening: undefined,
      token: ({ choice, piece, last }) => ({
        index: choice.index,
        text: piece,
        logprobs: null,
        finish_reason: last ? choice.request.finishReason : null,
        stop_reason: null,
      }),
    });
    return;
  }
  runGeneration(sim, exchange, choices, {
    onToken: () => undefined,
    onEnd: (usage) =>
      sendJson(exchange.res, 200, {
        ...head,
        choices: choices.map(({ index, text, request }) => ({
          index,
          text,
          logprobs: null,
          finish_reason: request.finishReason,
          stop_reason: null,
          prompt_logprobs: null,
        })),
        service_tier: null,
        system_fingerprint: null,
        usage: openAiUsage(usage),
        kv_transfer_params: null,
      }),
  });
};
