/** Requests of users who say who they are, one by one or by clients that ask again and again, and the order of their turns. */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { ReceivedRequest } from '../../src/engine-sim/request-log.ts';
import { chatBody, type Chat } from './chat.ts';
import type { Gateway } from './gateway.ts';
import { readReply, responseOf, startRequest, type Reply, type Sent } from './http-client.ts';

/** Believes everybody who they say they are, and names them on pages and in the log. */
export const usersByHeader = 'auth: { anonymous: { by: header, header: x-user } }\nlog: { subjects: plain }';

/** A request under way. */
export interface Asked {
  /** Its request id. */
  readonly id: string;
  readonly outgoing: ClientRequest;
  /** For those who read the body themselves; rejects where there is no response. */
  readonly head: Promise<IncomingMessage>;
  /** The whole reply; rejects where the client left, or the connection broke. */
  readonly reply: Promise<Reply>;
}

export interface Question extends Chat, Pick<Sent, 'path' | 'body' | 'agent'> {
  readonly headers?: NonNullable<Sent['headers']>;
}

let questions = 0;

/** Begins a chat completion, or what `body` says; its id begins with the user. Without a user it is nobody's. */
export function begin(
  { port }: Pick<Gateway, 'port'>,
  user: string | undefined,
  { headers = [], path, body, agent, ...chat }: Question = {},
): Asked {
  const id = `${user ?? 'nobody'}-${++questions}`;
  const outgoing = startRequest(port, {
    headers: [
      ['content-type', 'application/json'],
      ['x-request-id', id],
      ...(user === undefined ? [] : [['x-user', user] as const]),
      ...headers,
    ],
    body: body ?? chatBody({ prompt: 'Hello', ...chat }),
    ...(path !== undefined && { path }),
    ...(agent !== undefined && { agent }),
  });
  const head = responseOf(outgoing);
  // Whoever leaves does not look.
  head.catch(() => undefined);
  let reply: Promise<Reply> | undefined;
  return {
    id,
    outgoing,
    head,
    get reply() {
      return (reply ??= head.then(readReply));
    },
  };
}

/** Clients of one user, each with a request under way at any time. */
export interface Clients {
  /** How many requests were answered 200. */
  readonly served: number;
  /** What was answered otherwise. */
  readonly refused: readonly Reply[];
  /** All leave at once, and nobody asks again. */
  stop(): Promise<void>;
  /** Nobody asks again; resolves when those under way are answered. */
  finish(): Promise<void>;
}

/** Starts clients that ask again as soon as they are answered. `onAsked` sees each request before it is sent. */
export function startClients(
  ask: () => Asked,
  count: number,
  onAsked: (asked: Asked) => void = () => undefined,
): Clients {
  const underWay = new Set<ClientRequest>();
  const refused: Reply[] = [];
  let served = 0;
  let over = false;
  let left = false;

  async function work(): Promise<void> {
    while (!over) {
      const asked = ask();
      onAsked(asked);
      underWay.add(asked.outgoing);
      const reply = await asked.reply.catch((error: unknown) => {
        if (!left) throw error;
      });
      underWay.delete(asked.outgoing);
      if (reply?.status === 200) served++;
      else if (reply !== undefined) refused.push(reply);
    }
  }

  const ended = Promise.all(Array.from({ length: count }, work));
  ended.catch(() => undefined);
  return {
    get served() {
      return served;
    },
    refused,
    async stop() {
      over = true;
      left = true;
      for (const outgoing of underWay) outgoing.destroy();
      await ended;
    },
    async finish() {
      over = true;
      await ended;
    },
  };
}

/** Request ids in the order in which engines got the requests: the order of turns. */
export function turns({ engines }: Pick<Gateway, 'engines'>): readonly string[] {
  return engines
    .flatMap((engine) => engine.requests().filter(isInference))
    .sort((a, b) => a.atEpochMs - b.atEpochMs)
    .map(({ headers }) => String(headers['x-request-id']));
}

function isInference({ path }: ReceivedRequest): boolean {
  return path !== '/v1/models';
}

/** How many of the ids are each user's. */
export function countByUser(ids: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const id of ids) {
    const user = userOf(id);
    counts[user] = (counts[user] ?? 0) + 1;
  }
  return counts;
}

/** Whose request it is. */
export function userOf(id: string): string {
  return id.slice(0, id.lastIndexOf('-'));
}
