/** `POST /v1/chat/completions`. */
import { z } from 'zod';
import { chatTokens, contentSchema } from './chat-template.ts';
import type { Handler } from './exchange.ts';
import { createdSeconds, readJson, replyId, sendJson } from './exchange.ts';
import { planChoices } from './generation.ts';
import { streamOpenAi } from './openai-stream.ts';
import { runGeneration } from './run-generation.ts';
import { limitsOf, samplingFields, usageInStream } from './sampling-fields.ts';
import { openAiUsage } from './token-usage.ts';

/** A message of the OpenAI dialect; `/tokenize` takes them too. */
export const chatMessageSchema = z
  .looseObject({ role: z.string(), content: contentSchema, tool_calls: z.array(z.unknown()).nullish() })
  .transform(({ role, content, tool_calls: calls }) => ({
    role,
    content,
    extra: calls === undefined || calls === null || calls.length === 0 ? undefined : JSON.stringify(calls),
  }));

const bodySchema = z.looseObject({
  ...samplingFields,
  messages: z.array(chatMessageSchema).min(1),
  tools: z.unknown().optional(),
});

/** Answers a chat completion, whole or streamed. */
export const chatCompletions: Handler = (sim, exchange) => {
  const body = readJson(exchange.body, bodySchema);
  const model = sim.models.resolve(body.model);
  const prompts = [chatTokens(body.messages, body.tools)];
  const job = { prompts, limits: limitsOf(body), adapter: model.adapter };
  const choices = planChoices(job, sim.profile, sim.seed, sim.nextId);
  const streamed = body.stream === true;
  const object = streamed ? 'chat.completion.chunk' : 'chat.completion';
  const head = { id: replyId('chatcmpl', exchange), object, created: createdSeconds(sim), model: model.name };

  if (streamed) {
    streamOpenAi(sim, exchange, choices, {
      head,
      usage: usageInStream(body),
      opening: ({ index }) => ({
        index,
        delta: { role: 'assistant', content: '' },
        logprobs: null,
        finish_reason: null,
      }),
      token: ({ choice, piece, last }) => ({
        index: choice.index,
        delta: { content: piece },
        logprobs: null,
        finish_reason: last ? choice.request.finishReason : null,
        ...(last ? { stop_reason: null } : {}),
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
          message: {
            role: 'assistant',
            content: text,
            refusal: null,
            annotations: null,
            audio: null,
            function_call: null,
            tool_calls: [],
          },
          logprobs: null,
          finish_reason: request.finishReason,
          stop_reason: null,
        })),
        service_tier: null,
        system_fingerprint: null,
        usage: openAiUsage(usage),
        prompt_logprobs: null,
        kv_transfer_params: null,
      }),
  });
};
