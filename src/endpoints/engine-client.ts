/** Our own HTTP calls to one engine: one kept-alive connection, a deadline, a bounded body, failures as values. */
import { buildConnector, Client } from 'undici';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Endpoint } from './endpoint.ts';
import { connectionProblem, hostHeader } from './engine-connection.ts';

export type EngineAnswer =
  /** `body` is undefined where it was larger than the bound. */
  | { readonly kind: 'answer'; readonly status: number; readonly body: Buffer | undefined }
  /** Connected, or still trying to, when the time was up. The engine may merely be busy. */
  | { readonly kind: 'timeout'; readonly reason: string }
  /** Refused, reset, no route, TLS or not HTTP: nobody can be served there now. */
  | { readonly kind: 'unreachable'; readonly reason: string };

export interface EngineClientOptions {
  /** Time for one whole call. */
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  /** PEM certificates to trust instead of the system's, for `https://` engines. */
  readonly ca?: string | undefined;
  /** Accept any certificate. */
  readonly insecure?: boolean | undefined;
  /** Sent with every call, e.g. an engine's API key. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

type CallEnd = EngineAnswer | { readonly kind: 'error'; readonly error: Error };

interface RunningCall {
  end(reason: EngineAnswer): void;
  timeoutChanged(): void;
}

export interface EngineClient {
  /** One call at a time. */
  get(path: string): Promise<EngineAnswer>;
  /**
   * Uses other options from now on. A running call goes on, under the new timeout. A connection that was made under
   * another `ca` or `insecure` serves no further call.
   */
  update(options: EngineClientOptions): void;
  /** Ends a running call at once, as unreachable, and closes the connection. */
  close(): void;
}

/** Creates a client for one endpoint. It connects to the address; Host and SNI are the hostname where there is one. */
export function createEngineClient(
  endpoint: Endpoint,
  clock: Clock,
  initial: EngineClientOptions,
): EngineClient {
  let options = initial;
  /** The options that what follows was made for. */
  let madeFor = initial;
  let headers = headersFor(endpoint, initial);
  let connector = connectorFor(initial);
  let client = open();
  let running: RunningCall | undefined;

  function open(): Client {
    return new Client(endpoint.url, {
      // Deadlines are the clock's; only a connect attempt that nobody waits for any more has to end by itself.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: (to, callback) => connector(to, callback),
    });
  }

  /** Only when a call needs it: a thousand new clients in one tick would hold up everything else. */
  function followOptions(): void {
    const before = madeFor;
    madeFor = options;
    headers = headersFor(endpoint, options);
    const trustChanged =
      options.ca !== before.ca || (options.insecure ?? false) !== (before.insecure ?? false);
    if (!trustChanged && options.timeoutMs === before.timeoutMs) return;
    connector = connectorFor(options);
    // A connect attempt under way has its old timeout, and the call would wait behind it.
    if (!trustChanged && client.stats.connected) return;
    void client.destroy();
    client = open();
  }

  function call(path: string): Promise<CallEnd> {
    if (madeFor !== options) followOptions();
    return new Promise((resolve) => {
      const startedAtMs = clock.nowMs();
      const chunks: Buffer[] = [];
      let bytes = 0;
      let status = 0;
      let settled = false;
      let abort: ((reason: Error) => void) | undefined;
      const armTimer = (): Timer =>
        clock.after(Math.max(0, startedAtMs + options.timeoutMs - clock.nowMs()), () => {
          settle({ kind: 'timeout', reason: `no answer to GET ${path} within ${options.timeoutMs} ms` });
        });
      let timer = armTimer();
      const settle = (result: CallEnd): void => {
        if (settled) return;
        timer.cancel();
        running = undefined;
        settled = true;
        resolve(result);
        abort?.(new Error('call ended'));
      };
      running = {
        end: settle,
        timeoutChanged() {
          timer.cancel();
          timer = armTimer();
        },
      };
      client.dispatch(
        { method: 'GET', path, headers },
        {
          onRequestStart(controller) {
            abort = (reason) => controller.abort(reason);
            // The connection came about only after the time was up.
            if (settled) abort(new Error('call ended'));
          },
          onResponseStart(_controller, statusCode) {
            status = statusCode;
          },
          onResponseData(_controller, chunk) {
            bytes += chunk.length;
            if (bytes > options.maxBodyBytes) settle({ kind: 'answer', status, body: undefined });
            else chunks.push(chunk);
          },
          onResponseEnd() {
            abort = undefined;
            const [only] = chunks;
            const body = chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks);
            settle({ kind: 'answer', status, body });
          },
          onResponseError(_controller, error) {
            abort = undefined;
            settle({ kind: 'error', error });
          },
        },
      );
    });
  }

  return {
    async get(path) {
      let result = await call(path);
      // An idle connection that the engine closed in the same moment says nothing about the engine.
      if (result.kind === 'error' && isReset(result.error)) result = await call(path);
      return result.kind === 'error' ? failure(result.error, path, options.timeoutMs) : result;
    },
    update(next) {
      const { timeoutMs } = options;
      options = next;
      if (timeoutMs !== next.timeoutMs) running?.timeoutChanged();
    },
    close() {
      running?.end({ kind: 'unreachable', reason: 'no longer watched' });
      void client.destroy();
    },
  };
}

function connectorFor({ timeoutMs, ca, insecure = false }: EngineClientOptions): buildConnector.connector {
  return buildConnector({
    timeout: timeoutMs,
    rejectUnauthorized: !insecure,
    ...(ca === undefined ? {} : { ca }),
  });
}

function headersFor(endpoint: Endpoint, { headers }: EngineClientOptions): Record<string, string> {
  return {
    ...headers,
    ...hostHeader(endpoint),
  };
}

const resetCodes: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET']);
const timeoutCodes: ReadonlySet<string> = new Set(['UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT']);
function failure(error: Error, path: string, timeoutMs: number): EngineAnswer {
  const code = errorCode(error);
  if (timeoutCodes.has(code))
    return { kind: 'timeout', reason: `cannot connect for GET ${path} within ${timeoutMs} ms` };
  const reason =
    connectionProblem(code) ?? (code.startsWith('HPE_') ? 'the answer is not HTTP' : error.message);
  return { kind: 'unreachable', reason };
}

function isReset(error: Error): boolean {
  return resetCodes.has(errorCode(error));
}

function errorCode(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}
