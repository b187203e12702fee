/** The closed list of expected refusals, each with a status and a safe message. */

const reasons = {
  'invalid-request': { status: 400, type: 'invalid_request_error' },
  unauthenticated: { status: 401, type: 'authentication_error' },
  forbidden: { status: 403, type: 'permission_error' },
  'path-not-found': { status: 404, type: 'invalid_request_error' },
  'method-not-allowed': { status: 405, type: 'invalid_request_error' },
  'model-not-found': { status: 404, type: 'invalid_request_error' },
  'body-too-large': { status: 413, type: 'invalid_request_error' },
  'unsupported-encoding': { status: 415, type: 'invalid_request_error' },
  'rate-limited': { status: 429, type: 'rate_limit_error' },
  'queue-full': { status: 429, type: 'rate_limit_error' },
  saturated: { status: 429, type: 'overloaded_error' },
  internal: { status: 500, type: 'server_error' },
  'model-unavailable': { status: 503, type: 'overloaded_error' },
  'no-endpoint-eligible': { status: 503, type: 'overloaded_error' },
  'keys-unavailable': { status: 503, type: 'overloaded_error' },
  'shutting-down': { status: 503, type: 'overloaded_error' },
  'queue-timeout': { status: 504, type: 'timeout_error' },
} as const;

export type RejectionReason = keyof typeof reasons;

export interface RejectionDetail {
  /** The JSON field at fault, as OpenAI's `error.param`. */
  readonly param?: string;
  /** Whole seconds for `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /** More response headers, e.g. `allow`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** What went wrong underneath; never on the wire. */
  readonly cause?: unknown;
}

/** An expected end of a request. Its message is shown to the client: no secrets, nothing internal. */
export class Rejection extends Error {
  override readonly name = 'Rejection';
  readonly reason: RejectionReason;
  readonly param: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(reason: RejectionReason, message: string, detail: RejectionDetail = {}) {
    super(message, { cause: detail.cause });
    this.reason = reason;
    this.param = detail.param;
    this.retryAfterSeconds = detail.retryAfterSeconds;
    this.headers = detail.headers ?? {};
  }

  get status(): number {
    return reasons[this.reason].status;
  }

  /** `error.type` of the reply. */
  get type(): string {
    return reasons[this.reason].type;
  }

  /** `error.code` of the reply: the reason in snake case. */
  get code(): string {
    return this.reason.replaceAll('-', '_');
  }
}
