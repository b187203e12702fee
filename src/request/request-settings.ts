/** What the configuration says of requests: one immutable object for one state of it. */
import type { MayCall } from '../auth/model-access.ts';
import type { Principal } from '../auth/principal.ts';
import type { PathMatch } from './api-paths.ts';
import type { CrossOrigin } from './cross-origin.ts';
import type { Authenticate } from './identify.ts';
import type { SessionFields } from './parse-body.ts';
import type { ModelRenames } from './rename-model.ts';
import type { WatchOptions } from './watch-response.ts';

/** An exchange takes one of these at its start and works with it to its end, whatever is configured meanwhile. */
export interface RequestSettings extends WatchOptions {
  readonly matchPath: (path: string) => PathMatch;
  readonly authenticate: Authenticate;
  readonly mayCall: MayCall;
  /** Headers that engines do not see, in lower case: those that tokens come in. */
  readonly privateHeaders: readonly string[];
  readonly crossOrigin: CrossOrigin;
  readonly maxBodyBytes: number;
  /** Deepest nesting of a JSON body. */
  readonly maxBodyDepth: number;
  /** How many times Envoy may try: a destination is named for each. */
  readonly maxAttempts: number;
  readonly models: ModelRenames;
  /** The share of a caller among those who wait: more than 0. */
  readonly shareOf: (principal: Principal) => number;
  /** How long Envoy has to be patient with a request that waits for its turn. */
  readonly maxQueueMs: number;
  /** Header that names the session to boost, in lower case; undefined where none is. */
  readonly boostHeader: string | undefined;
  /** What becomes of streams whose client did not ask for usage: nothing, or they report it all the same. */
  readonly addedUsage: 'none' | 'hidden' | 'shown';
  /**
   * Headers that name the session, in lower case: the first that is not empty does, and only where none is, a field of
   * the body.
   */
  readonly sessionHeaders: readonly string[];
  /** Fields of a JSON body that name it where no header does. */
  readonly sessionFields: SessionFields;
}
