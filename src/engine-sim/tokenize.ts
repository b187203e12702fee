/** `POST /tokenize` and `/detokenize`. */
import { z } from 'zod';
import { chatMessageSchema } from './chat-completions.ts';
import { chatTokens } from './chat-template.ts';
import type { Handler } from './exchange.ts';
import { readJson, sendJson } from './exchange.ts';
import { decode, encode } from './tokenizer.ts';

const model = z.string().nullish();
const promptSchema = z.looseObject({ model, prompt: z.string() });
const chatSchema = z.looseObject({
  model,
  messages: z.array(chatMessageSchema).min(1),
  tools: z.unknown().optional(),
});
const tokenizeSchema = z.union([
  promptSchema.transform((body) => ({ model: body.model, tokens: encode(body.prompt) })),
  chatSchema.transform((body) => ({ model: body.model, tokens: chatTokens(body.messages, body.tools) })),
]);
const detokenizeSchema = z.looseObject({ model, tokens: z.array(z.int().nonnegative()) });

/** Answers the tokens of a prompt or of a conversation. */
export const tokenize: Handler = (sim, { body, res }) => {
  const { model: name, tokens } = readJson(body, tokenizeSchema);
  sim.models.resolve(name);
  sendJson(res, 200, {
    count: tokens.length,
    max_model_len: sim.profile.maxModelLen,
    tokens,
    token_strs: null,
  });
};

/** Answers the text of tokens. */
export const detokenize: Handler = (sim, { body, res }) => {
  const { model: name, tokens } = readJson(body, detokenizeSchema);
  sim.models.resolve(name);
  sendJson(res, 200, { prompt: decode(tokens) });
};
