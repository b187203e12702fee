/** Sends an inference request of our own to one engine. */
import { finished } from 'node:stream/promises';
import { Client } from 'undici';
import type { Endpoint } from './endpoint.ts';
import { connectionProblem, hostHeader } from './engine-connection.ts';
import type { TinyRequest } from './tiny-request.ts';

export interface InferenceCall {
  readonly endpoint: Endpoint;
  readonly request: TinyRequest;
  /** Longest time to connect; the deadline of the whole call is the signal's. */
  readonly timeoutMs: number;
  /** PEM certificates to trust instead of the system's, for `https://` engines. */
  readonly ca?: string | undefined;
  /** Accept any certificate. */
  readonly insecure?: boolean | undefined;
  /** Sent besides those that the request needs, e.g. an engine's API key. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export type InferenceAnswer =
  /** The whole answer came; what it says is of no interest. */
  | { readonly kind: 'answer'; readonly status: number }
  /** None came, only a part of it, or the signal ended the call. */
  | { readonly kind: 'failed'; readonly reason: string };

/** Sends one request. Never rejects. */
export type SendInference = (call: InferenceCall, signal: AbortSignal) => Promise<InferenceAnswer>;

/**
 * Sends over a connection of its own, since a check is rare and shall not fail because the engine closed an idle one. It
 * connects to the address; Host and SNI are the hostname where there is one. Redirections are not followed.
 */
export const sendInference: SendInference = async (call, signal) => {
  const { endpoint, request, headers } = call;
  let client: Client | undefined;
  try {
    client = open(call);
    const { statusCode, body } = await client.request({
      method: 'POST',
      path: request.path,
      headers: {
        ...lowerCased(headers),
        ...hostHeader(endpoint),
        'content-type': request.contentType,
      },
      body: request.body,
      signal,
    });
    // Not `dump`, which takes half an answer for a whole one.
    await finished(body.resume());
    return { kind: 'answer', status: statusCode };
  } catch (error) {
    return { kind: 'failed', reason: reasonOf(error) };
  } finally {
    void client?.destroy();
  }
};

function open({ endpoint, timeoutMs, ca, insecure = false }: InferenceCall): Client {
  return new Client(endpoint.url, {
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: timeoutMs, rejectUnauthorized: !insecure, ...(ca === undefined ? {} : { ca }) },
  });
}

/** So that no header that was configured is sent beside one of ours. */
function lowerCased(headers: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

function reasonOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  const { name, code, message } = error as Readonly<Record<string, unknown>>;
  if (name === 'HTTPParserError') return 'the answer is not HTTP';
  return connectionProblem(String(code)) ?? String(message);
}
