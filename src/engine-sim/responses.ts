/** `POST /v1/responses`: text in, text out. */
import { z } from 'zod';
import type { ChatMessage } from './chat-template.ts';
import { chatTokens, contentSchema } from './chat-template.ts';
import type { Exchange, Handler, Sim } from './exchange.ts';
import { createdSeconds, openEventStream, readJson, replyId, sendJson } from './exchange.ts';
import type { Choice } from './generation.ts';
import { planChoices } from './generation.ts';
import { runGeneration } from './run-generation.ts';
import type { TokenUsage } from './token-usage.ts';
import { responsesUsage } from './token-usage.ts';

const itemSchema = z
  .looseObject({ role: z.string().optional(), content: contentSchema })
  .transform(({ role, content, ...rest }): ChatMessage =>
    role === undefined ? { role: 'item', content: JSON.stringify(rest) } : { role, content },
  );
const bodySchema = z.looseObject({
  model: z.string().nullish(),
  input: z.union([z.string(), z.array(itemSchema).min(1)]),
  instructions: z.string().nullish(),
  max_output_tokens: z.int().min(1).nullish(),
  stream: z.boolean().nullish(),
  tools: z.unknown().optional(),
});

type Body = z.infer<typeof bodySchema>;

/** Answers a response, whole or as the events that the OpenAI SDK's stream helper assembles. */
export const responses: Handler = (sim, exchange) => {
  const body = readJson(exchange.body, bodySchema);
  const model = sim.models.resolve(body.model);
  const limits = {
    maxTokens: body.max_output_tokens ?? undefined,
    minTokens: 0,
    ignoreEos: false,
    n: 1,
    seed: 0,
  };
  const job = { prompts: [chatTokens(messagesOf(body), body.tools)], limits, adapter: model.adapter };
  const [choice] = planChoices(job, sim.profile, sim.seed, sim.nextId);
  if (choice === undefined) return;
  const reply = describeReply(sim, exchange, body, model.name, choice);
  if (body.stream === true) {
    streamResponse(sim, exchange, choice, reply);
    return;
  }
  runGeneration(sim, exchange, [choice], {
    onToken: () => undefined,
    onEnd: (usage) => sendJson(exchange.res, 200, reply.finished(usage)),
  });
};

interface Reply {
  readonly messageId: string;
  /** The response object before anything was generated. */
  readonly begun: unknown;
  /** The response object at the end. */
  finished(usage: TokenUsage): unknown;
  /** The one output item, with so much of its text. */
  item(status: 'in_progress' | 'completed' | 'incomplete', text: string | undefined): unknown;
}

function describeReply(
  sim: Sim,
  exchange: Exchange,
  body: Body,
  model: string,
  { request, text }: Choice,
): Reply {
  const id = replyId('resp', exchange);
  const messageId = id.replace('resp', 'msg');
  const status = request.finishReason === 'length' ? 'incomplete' : 'completed';
  const base = {
    id,
    created_at: createdSeconds(sim),
    object: 'response',
    model,
    instructions: body.instructions ?? null,
    metadata: null,
    parallel_tool_calls: true,
    temperature: 1,
    top_p: 1,
    tool_choice: 'auto',
    tools: [],
    background: false,
    max_output_tokens: body.max_output_tokens ?? null,
    previous_response_id: null,
    error: null,
  };
  const item: Reply['item'] = (itemStatus, itemText) => ({
    id: messageId,
    type: 'message',
    role: 'assistant',
    status: itemStatus,
    content: itemText === undefined ? [] : [textPart(itemText)],
  });
  return {
    messageId,
    begun: { ...base, status: 'in_progress', incomplete_details: null, output: [], usage: null },
    item,
    finished: (usage) => ({
      ...base,
      status,
      incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
      output: [item(status, text)],
      usage: responsesUsage(usage),
    }),
  };
}

function streamResponse(sim: Sim, exchange: Exchange, choice: Choice, reply: Reply): void {
  const { res } = exchange;
  let sequence = 0;
  const write = (type: string, fields: object): void => {
    res.write(
      `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence++, ...fields })}\n\n`,
    );
  };
  const place = { item_id: reply.messageId, output_index: 0, content_index: 0 };
  openEventStream(res);
  write('response.created', { response: reply.begun });
  write('response.in_progress', { response: reply.begun });
  runGeneration(sim, exchange, [choice], {
    onToken({ piece, usage }) {
      if (usage.completionTokens === 1) {
        write('response.output_item.added', { output_index: 0, item: reply.item('in_progress', undefined) });
        write('response.content_part.added', { ...place, part: textPart('') });
      }
      write('response.output_text.delta', { ...place, delta: piece, logprobs: [] });
    },
    onEnd(usage) {
      const { text } = choice;
      const status = choice.request.finishReason === 'length' ? 'incomplete' : 'completed';
      write('response.output_text.done', { ...place, text, logprobs: [] });
      write('response.content_part.done', { ...place, part: textPart(text) });
      write('response.output_item.done', { output_index: 0, item: reply.item(status, text) });
      write(`response.${status}`, { response: reply.finished(usage) });
      res.end();
    },
  });
}

function messagesOf({ input, instructions }: Body): ChatMessage[] {
  const system: ChatMessage[] =
    typeof instructions === 'string' ? [{ role: 'system', content: instructions }] : [];
  return [...system, ...(typeof input === 'string' ? [{ role: 'user', content: input }] : input)];
}

function textPart(text: string): unknown {
  return { type: 'output_text', text, annotations: [], logprobs: null };
}
