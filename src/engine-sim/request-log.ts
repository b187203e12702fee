/** The last requests an engine received, so that tests can say what it saw. */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export interface ReceivedRequest {
  /** 1 for the first request of this engine. */
  readonly sequence: number;
  readonly atEpochMs: number;
  readonly method: string;
  /** Path and query as received. */
  readonly path: string;
  readonly httpVersion: string;
  readonly headers: IncomingHttpHeaders;
  /** Undefined until the body was received whole. */
  body: { readonly bytes: number; readonly sha256: string; readonly head: string } | undefined;
  /** The status answered; undefined before that. */
  status: number | undefined;
  /** `aborted`: the connection ended before the answer did, whoever ended it. */
  outcome: 'open' | 'completed' | 'aborted';
}

const bodyHeadBytes = 2048;

/** What the log keeps of a body. */
export function describeBody(body: Buffer): { bytes: number; sha256: string; head: string } {
  return {
    bytes: body.length,
    sha256: createHash('sha256').update(body).digest('hex'),
    head: body.subarray(0, bodyHeadBytes).toString('utf8'),
  };
}

/** Keeps the last `capacity` requests. */
export class RequestLog {
  readonly #capacity: number;
  #entries: ReceivedRequest[] = [];
  #sequence = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(request: Omit<ReceivedRequest, 'sequence' | 'body' | 'status' | 'outcome'>): ReceivedRequest {
    const entry: ReceivedRequest = {
      ...request,
      sequence: ++this.#sequence,
      body: undefined,
      status: undefined,
      outcome: 'open',
    };
    this.#entries.push(entry);
    if (this.#entries.length > this.#capacity) this.#entries.shift();
    return entry;
  }

  /** Oldest first. */
  list(): readonly ReceivedRequest[] {
    return [...this.#entries];
  }

  clear(): void {
    this.#entries = [];
  }
}
