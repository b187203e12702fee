/** Chat completions as tests ask for them, and what came back. */
import { randomUUID } from 'node:crypto';
import type { Gateway } from './gateway.ts';
import { send, type Reply } from './http-client.ts';

export interface Chat {
  /** Default: one that nobody sent before. */
  readonly prompt?: string;
  /** Output tokens, exactly; default 2. */
  readonly tokens?: number;
  readonly stream?: boolean;
}

/** The body of a chat completion of model `m`. */
export function chatBody({ prompt = randomUUID(), tokens = 2, stream = false }: Chat = {}): string {
  return JSON.stringify({
    model: 'm',
    messages: [{ role: 'user', content: prompt }],
    max_tokens: tokens,
    ignore_eos: true,
    ...(stream && { stream, stream_options: { include_usage: true } }),
  });
}

/** Sends it and reads the whole reply; rejects when the response breaks off. */
export function chat(gateway: Pick<Gateway, 'port'>, request: Chat = {}): Promise<Reply> {
  return send(gateway.port, { body: chatBody(request) });
}

/** A prompt of many blocks that shares its beginning with no other name's. */
export function longPrompt(name: string, words = 400): string {
  return Array.from({ length: words }, (_, index) => `${name}-${index}`).join(' ');
}
