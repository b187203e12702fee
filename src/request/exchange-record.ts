/** All that is known of one exchange when it is over: what the access-log line and the metrics are made of. */
import type { Principal } from '../auth/principal.ts';
import type { Spent } from '../fairness/ledger.ts';
import type { Decision } from '../scheduling/decision.ts';
import type { Api } from './parsed-request.ts';
import type { RejectionReason } from './rejection.ts';
import type { TokenUsage, UsageSource } from './usage.ts';

/**
 * How an exchange ended:
 * - `completed`: the whole response reached Envoy (also when the client hung up right after the last event);
 * - `aborted`: the client left before;
 * - `failed`: no engine gave a whole response;
 * - `rejected`: refused by us; `local`: answered by us;
 * - `unknown`: Envoy let it pass and did not say.
 */
export type OutcomeKind = 'completed' | 'aborted' | 'failed' | 'rejected' | 'local' | 'unknown';

/** Filled in along the main path; read once, at the end. */
export interface ExchangeRecord {
  readonly id: string;
  readonly requestId: string | undefined;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** Clock milliseconds. */
  readonly startedAtMs: number;
  /** Who calls; undefined until it is known. */
  principal: Principal | undefined;
  api: Api | undefined;
  /** As the client asked; undefined until the body was read. */
  model: string | undefined;
  /** The name that engines are asked for, where an alias or a rewrite makes it another one. */
  servedModel: string | undefined;
  /** The model is one that some endpoint serves, or that the configuration renames: safe as a metric label. */
  modelKnown: boolean;
  stream: boolean;
  requestBytes: number;
  /** How long it waited for its turn. */
  queueMs: number;
  decision: Decision | undefined;
  /** How long the scheduling run took. */
  decisionMs: number;
  /** Who answered, and at which attempt. */
  servedBy: string | undefined;
  attempts: number | undefined;
  outcome: OutcomeKind;
  /** HTTP status the client saw; 0 where none. */
  status: number;
  reason: RejectionReason | undefined;
  ttftMs: number | undefined;
  durationMs: number;
  responseBytes: number | undefined;
  usage: TokenUsage | undefined;
  usageSource: UsageSource;
  /** What its caller was charged; undefined where nothing was used. */
  charged: Spent | undefined;
}
