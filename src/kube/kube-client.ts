/** Lists and watches objects of the Kubernetes API over HTTP: one connection for each request that runs. */
import { isDeepStrictEqual } from 'node:util';
import { Agent, type Dispatcher } from 'undici';
import type { KubeCredentials, KubeTls } from './credentials.ts';
import { jsonLines } from './json-lines.ts';
import { noCredentials, refusedBy, unreachable, type KubeError, type KubeStatus } from './kube-error.ts';
import type { KubeObject, KubePage, WatchEvent } from './kube-object.ts';
import { resourcePath, selectionOf, type KubeResource, type KubeVerb } from './kube-resource.ts';

export interface WatchOptions {
  /** What came after this. */
  readonly resourceVersion: string;
  /** When the server is to end the watch, in whole seconds. */
  readonly timeoutSeconds: number;
}

/** Every failure is a KubeError. No call has a time limit of its own: the signal ends it. */
export interface KubeClient {
  /** The namespace that is meant where none is named. */
  readonly namespace: string;
  /** All objects as of one moment, a page at a time. */
  list<O extends KubeObject>(resource: KubeResource, signal: AbortSignal): AsyncIterable<KubePage<O>>;
  /**
   * Changes and bookmarks, those that came together in one batch. The first batch is empty and tells that the server
   * accepts the watch. Ends where the server ends it in order.
   */
  watch<O extends KubeObject>(
    resource: KubeResource,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<readonly WatchEvent<O>[]>;
  /** Cuts what still runs. */
  close(): Promise<void>;
}

export interface KubeClientDeps {
  readonly credentials: KubeCredentials;
  /** For the API server's audit log, e.g. `sluice/1.0.0`. */
  readonly userAgent: string;
}

/** A page of pods takes about a millisecond to parse: the event loop has other work between two of them. */
const pageSize = 25;
const connectTimeoutMs = 10_000;
const keepAliveMs = 30_000;
/** Of an answer that is a failure; proxies in between may answer with whole pages. */
const maxFailureBytes = 64 * 1024;

/** What Go's API server ends a list with, and a Status. */
interface ListBody<O extends KubeObject> {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly O[] | null;
}

type WatchLine<O extends KubeObject> =
  WatchEvent<O> | { readonly type: 'ERROR'; readonly object: KubeStatus };

/** Creates a client; it connects when it is asked. */
export function createKubeClient({ credentials, userAgent }: KubeClientDeps): KubeClient {
  const server = new URL(credentials.server);
  const basePath = server.pathname.replace(/\/$/, '');
  const agents = new Set<Agent>();
  let current: { readonly tls: KubeTls; readonly agent: Agent } | undefined;

  /** Certificates are renewed: what runs goes on with the old ones. */
  function agentFor(tls: KubeTls): Agent {
    if (current !== undefined && isDeepStrictEqual(current.tls, tls)) return current.agent;
    leaveConnections();
    const connect = { ...tls, timeout: connectTimeoutMs, keepAliveInitialDelay: keepAliveMs };
    const agent = new Agent({ connect, headersTimeout: 0, bodyTimeout: 0 });
    agents.add(agent);
    current = { tls, agent };
    return agent;
  }

  /** New requests take new connections; those that run have theirs to their end. */
  function leaveConnections(): void {
    const agent = current?.agent;
    current = undefined;
    // It fails where the client is closed meanwhile.
    void agent?.close().then(
      () => agents.delete(agent),
      () => undefined,
    );
  }

  /** Where one connection fails, those that wait for their next request may be dead as well. */
  function failed(verb: KubeVerb, resource: KubeResource, error: unknown): KubeError {
    const failure = unreachable(verb, resource, server.origin, error);
    if (failure.kind === 'unreachable' || failure.kind === 'silent') leaveConnections();
    return failure;
  }

  async function get(
    verb: KubeVerb,
    resource: KubeResource,
    parameters: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData['body']> {
    const identity = await aborted(credentials.identity(), signal).catch((error: unknown) => {
      throw noCredentials(verb, resource, error);
    });
    const query = new URLSearchParams({ ...selectionOf(resource), ...parameters });
    const { statusCode, body } = await agentFor(identity.tls).request({
      origin: server.origin,
      path: `${basePath}${resourcePath(resource)}?${query.toString()}`,
      method: 'GET',
      headers: { accept: 'application/json', 'user-agent': userAgent, ...identity.headers },
      signal,
    });
    if (statusCode === 200) return body;
    if (statusCode === 401) credentials.refused();
    throw refusedBy(verb, resource, { code: statusCode, message: messageIn(await beginning(body)) });
  }

  return {
    namespace: credentials.namespace,
    async *list<O extends KubeObject>(
      resource: KubeResource,
      signal: AbortSignal,
    ): AsyncGenerator<KubePage<O>> {
      try {
        let next = '';
        do {
          const parameters = { limit: String(pageSize), ...(next === '' ? {} : { continue: next }) };
          const body = await get('list', resource, parameters, signal);
          const { metadata, items } = JSON.parse(await body.text()) as ListBody<O>;
          yield { items: items ?? [], resourceVersion: metadata.resourceVersion };
          next = metadata.continue ?? '';
        } while (next !== '');
      } catch (error) {
        throw failed('list', resource, error);
      }
    },
    async *watch<O extends KubeObject>(
      resource: KubeResource,
      options: WatchOptions,
      signal: AbortSignal,
    ): AsyncGenerator<readonly WatchEvent<O>[]> {
      const parameters = {
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion: options.resourceVersion,
        timeoutSeconds: String(options.timeoutSeconds),
      };
      try {
        const body = await get('watch', resource, parameters, signal);
        yield [];
        for await (const lines of jsonLines(body)) yield eventsOf<O>(resource, lines as WatchLine<O>[]);
      } catch (error) {
        throw failed('watch', resource, error);
      }
    },
    async close() {
      current = undefined;
      await Promise.all([...agents].map((agent) => agent.destroy()));
    },
  };
}

/** A watch that fails after it began says so in its last line. */
function eventsOf<O extends KubeObject>(
  resource: KubeResource,
  lines: readonly WatchLine<O>[],
): readonly WatchEvent<O>[] {
  return lines.map((line) => {
    if (line.type === 'ERROR') throw refusedBy('watch', resource, line.object);
    return line;
  });
}

async function beginning(body: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of body) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > maxFailureBytes) break;
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** What a Status object says; of anything else nothing, since it was not made for people. */
function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as KubeStatus;
    return message ?? '';
  } catch {
    return '';
  }
}

/** Gives up waiting for what cannot be told to stop. */
async function aborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: gaveUp, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort);
  try {
    return await Promise.race([promise, gaveUp]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
