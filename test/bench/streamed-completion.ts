/** Streamed chat completions as a client sees them: what came, and when. */
import type { Agent, IncomingMessage } from 'node:http';
import { responseOf, startRequest } from '../support/http-client.ts';
import { counter } from './prompts.ts';

export interface StreamedRequest {
  /** How many tokens the engine generates, each an event of its own. */
  readonly tokens: number;
  readonly promptBytes: number;
  /** Whether the client asks for the usage. */
  readonly asksUsage: boolean;
  /** Header that says who calls. */
  readonly caller?: readonly [name: string, value: string];
}

export interface StreamedReply {
  /** From the request to the head of the response, which engines send when they queue a request, and to its first event. */
  readonly headMs: number;
  readonly firstEventMs: number;
  /** Whether the stream told its usage. */
  readonly hasUsage: boolean;
  /** Whether it was a stream that reached its end. */
  readonly isComplete: boolean;
}

/** Sends a request whose prompt begins with a number, and reads its stream to the end. Rejects where the connection breaks. */
export async function streamedCompletion(
  port: number,
  number: number,
  { tokens, promptBytes, asksUsage, caller }: StreamedRequest,
  agent: Agent,
): Promise<StreamedReply> {
  const content = `${String(number).padStart(counter.length, '0')} ${'words '.repeat(promptBytes / 6)}`;
  const body = JSON.stringify({
    model: 'm',
    messages: [{ role: 'user', content }],
    stream: true,
    max_tokens: tokens,
    ignore_eos: true,
    ...(asksUsage ? { stream_options: { include_usage: true } } : {}),
  });
  const startMs = performance.now();
  const response = await responseOf(
    startRequest(port, {
      headers: [['content-type', 'application/json'], ...(caller === undefined ? [] : [caller])],
      body,
      agent,
    }),
  );
  const headMs = performance.now() - startMs;
  return { headMs, ...(await readStream(response, startMs)) };
}

/** The last event with usage, and what comes after it, are in so many bytes. */
const endBytes = 1000;

async function readStream(
  response: IncomingMessage,
  startMs: number,
): Promise<Omit<StreamedReply, 'headMs'>> {
  let firstEventMs = Number.NaN;
  let end = '';
  response.setEncoding('latin1');
  for await (const text of response as AsyncIterable<string>) {
    if (end === '') firstEventMs = performance.now() - startMs;
    end = (end + text).slice(-endBytes);
  }
  return {
    firstEventMs,
    hasUsage: end.includes('"usage":{'),
    isComplete: response.statusCode === 200 && end.endsWith('data: [DONE]\n\n'),
  };
}
