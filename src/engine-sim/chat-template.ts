/** Turns a conversation into prompt tokens the way a ChatML template does. */
import { z } from 'zod';
import { encode, special } from './tokenizer.ts';

const part = z.looseObject({ type: z.string().optional(), text: z.string().optional() });

/** A message's content in any of the dialects: text, or parts of which those with a `text` are read. */
export const contentSchema = z.union([z.string(), z.array(z.union([z.string(), part])), z.null()]).optional();

type Content = z.infer<typeof contentSchema>;

export interface ChatMessage {
  readonly role: string;
  readonly content: Content;
  /** Whatever else the model reads with the message, such as tool calls, as text. */
  readonly extra?: string | undefined;
}

/**
 * The prompt of a conversation, ending where the assistant begins to speak. Messages are tokenized one by one, so that
 * an answer sent back as history has the tokens it was generated with, and its KV blocks are found again.
 */
export function chatTokens(messages: readonly ChatMessage[], tools?: unknown): number[] {
  const tokens: number[] = [];
  if (Array.isArray(tools) && tools.length > 0)
    appendMessage(tokens, { role: 'tools', content: JSON.stringify(tools) });
  for (const message of messages) appendMessage(tokens, message);
  tokens.push(special.imStart, ...encode('assistant\n'));
  return tokens;
}

function appendMessage(tokens: number[], { role, content, extra }: ChatMessage): void {
  tokens.push(special.imStart, ...encode(`${role}\n`));
  for (const piece of typeof content === 'string' ? [content] : (content ?? [])) appendPart(tokens, piece);
  if (extra !== undefined) append(tokens, encode(extra));
  tokens.push(special.imEnd, ...encode('\n'));
}

function appendPart(tokens: number[], piece: string | z.infer<typeof part>): void {
  const text = typeof piece === 'string' ? piece : piece.text;
  if (text === undefined) tokens.push(special.media);
  else append(tokens, encode(text));
}

/** Not `push(...more)`: the arguments of a long prompt do not fit the stack. */
function append(tokens: number[], more: readonly number[]): void {
  for (const token of more) tokens.push(token);
}
