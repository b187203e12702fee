/** `POST /v1/messages` and `/v1/messages/count_tokens`: the Anthropic dialect. */
import { z } from 'zod';
import type { ChatMessage } from './chat-template.ts';
import { chatTokens, contentSchema } from './chat-template.ts';
import type { Exchange, Handler, Sim } from './exchange.ts';
import { openEventStream, readJson, replyId, sendJson } from './exchange.ts';
import type { Choice } from './generation.ts';
import { planChoices } from './generation.ts';
import { runGeneration } from './run-generation.ts';
import type { TokenUsage } from './token-usage.ts';
import { anthropicUsage } from './token-usage.ts';

const messageSchema = z
  .looseObject({ role: z.string(), content: contentSchema })
  .transform(({ role, content }): ChatMessage => ({ role, content }));
const conversation = {
  model: z.string(),
  system: contentSchema,
  messages: z.array(messageSchema).min(1),
  tools: z.unknown().optional(),
};
const bodySchema = z.looseObject({
  ...conversation,
  max_tokens: z.int().min(1),
  stream: z.boolean().nullish(),
});
const countSchema = z.looseObject(conversation);

/** Answers a message, whole or streamed. */
export const messages: Handler = (sim, exchange) => {
  const body = readJson(exchange.body, bodySchema);
  const model = sim.models.resolve(body.model);
  const limits = { maxTokens: body.max_tokens, minTokens: 0, ignoreEos: false, n: 1, seed: 0 };
  const prompt = promptOf(body);
  const [choice] = planChoices(
    { prompts: [prompt], limits, adapter: model.adapter },
    sim.profile,
    sim.seed,
    sim.nextId,
  );
  if (choice === undefined) return;
  const message = { id: replyId('msg', exchange), type: 'message', role: 'assistant', model: model.name };
  const stop = {
    stop_reason: choice.request.finishReason === 'length' ? 'max_tokens' : 'end_turn',
    stop_sequence: null,
  };
  if (body.stream === true) {
    streamMessage(sim, exchange, choice, message, stop);
    return;
  }
  runGeneration(sim, exchange, [choice], {
    onToken: () => undefined,
    onEnd: (usage) =>
      sendJson(exchange.res, 200, {
        ...message,
        content: [{ type: 'text', text: choice.text }],
        ...stop,
        usage: anthropicUsage(usage),
      }),
  });
};

/** Answers how many tokens a message's prompt has. */
export const countMessageTokens: Handler = (sim, exchange) => {
  const body = readJson(exchange.body, countSchema);
  sim.models.resolve(body.model);
  sendJson(exchange.res, 200, { input_tokens: promptOf(body).length });
};

function streamMessage(sim: Sim, exchange: Exchange, choice: Choice, message: object, stop: object): void {
  const { res } = exchange;
  const write = (type: string, fields: object): void => {
    res.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`);
  };
  const begin = (usage: TokenUsage): void => {
    const atStart = anthropicUsage({ ...usage, completionTokens: 0 });
    write('message_start', {
      message: { ...message, content: [], stop_reason: null, stop_sequence: null, usage: atStart },
    });
    write('content_block_start', { index: 0, content_block: { type: 'text', text: '' } });
    write('ping', {});
  };
  openEventStream(res);
  runGeneration(sim, exchange, [choice], {
    onToken({ piece, usage }) {
      if (usage.completionTokens === 1) begin(usage);
      write('content_block_delta', { index: 0, delta: { type: 'text_delta', text: piece } });
    },
    onEnd(usage) {
      write('content_block_stop', { index: 0 });
      write('message_delta', { delta: stop, usage: anthropicUsage(usage) });
      write('message_stop', {});
      res.end();
    },
  });
}

function promptOf(body: z.infer<typeof countSchema>): number[] {
  const { system } = body;
  const first: ChatMessage[] =
    system === undefined || system === null ? [] : [{ role: 'system', content: system }];
  return chatTokens([...first, ...body.messages], body.tools);
}
