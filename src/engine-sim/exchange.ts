/** What a request handler works with: the engine behind it, and one HTTP exchange. */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { z } from 'zod';
import type { Clock } from '../lib/clock.ts';
import { invalidBody } from './api-error.ts';
import type { EngineDriver } from './engine-driver.ts';
import type { EngineProfile } from './profile.ts';
import type { ServedModels } from './served-models.ts';

/** One simulated engine, as its handlers see it. */
export interface Sim {
  readonly profile: EngineProfile;
  readonly seed: number;
  readonly clock: Clock;
  readonly models: ServedModels;
  readonly driver: EngineDriver;
  /** An id for a request to the engine model. */
  readonly nextId: () => string;
}

/** One received request, its body whole, and the way to answer it. */
export interface Exchange {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly res: ServerResponse;
  /** The connection is to be destroyed after so many generated tokens. */
  readonly dropAfterTokens: number | undefined;
}

/** Answers a request, or throws an ApiError before anything was sent. */
export type Handler = (sim: Sim, exchange: Exchange) => void;

/** Reads the body as JSON of the given shape. */
export function readJson<Shape>(body: Buffer, schema: z.ZodType<Shape>): Shape {
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch {
    throw invalidBody(
      "[{'type': 'json_invalid', 'loc': ('body', 0), 'msg': 'JSON decode error', 'input': {}, 'ctx': {'error': 'Expecting value'}}]",
    );
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const { issues } = result.error;
  const lines = issues.map(({ code, path, message }) => {
    const location = ['body', ...path]
      .map((key) => (typeof key === 'number' ? String(key) : `'${String(key)}'`))
      .join(', ');
    return `  {'type': '${code}', 'loc': (${location}), 'msg': '${message}'}`;
  });
  throw invalidBody(
    `${issues.length} validation error${issues.length === 1 ? '' : 's'}:\n${lines.join('\n')}`,
  );
}

/** Sends a whole JSON reply. */
export function sendJson(res: ServerResponse, status: number, value: unknown): void {
  const body = Buffer.from(JSON.stringify(value));
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
  res.end(body);
}

/** Sends a whole text reply. */
export function sendText(
  res: ServerResponse,
  status: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  const body = Buffer.from(text);
  res.writeHead(status, { 'content-type': contentType, 'content-length': body.length });
  res.end(body);
}

/** Sends the head of a server-sent event stream at once: like vLLM, when the request is queued, not with its first token. */
export function openEventStream(res: ServerResponse): void {
  res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  res.flushHeaders();
}

/** The id of a reply: like vLLM, the client's `X-Request-Id` behind a prefix, where it sent one. */
export function replyId(prefix: string, { headers }: Exchange): string {
  const given = headers['x-request-id'];
  return `${prefix}-${typeof given === 'string' && given !== '' ? given : crypto.randomUUID().replaceAll('-', '')}`;
}

/** Unix time for `created` fields. */
export function createdSeconds(sim: Sim): number {
  return Math.floor(sim.clock.epochMs() / 1000);
}
