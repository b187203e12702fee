/** The `sessionBoost` section. */
import { z } from 'zod';
import { duration } from '../units.ts';
import { headerName } from './header-name.ts';
import { longestWait, longestWaitMs } from './queueing.ts';

/** Turns by session: who was answered a moment ago goes first, while its prompt is still in an engine's cache. */
export const sessionBoostSection = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe(
        'Whether requests wait for their turn by session: those of the session that was answered last go first, all others in order of arrival. Not together with `fairness.enabled`.',
      ),
    header: headerName
      .default('x-session-id')
      .describe('Request header that names the session; without it, a request is not boosted.'),
    maxSessions: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(4096)
      .describe('How many sessions are remembered; beyond that, the one answered longest ago is forgotten.'),
    inflightPerPod: z
      .int()
      .min(1)
      .default(16)
      .describe('How many requests may be in flight for each endpoint of the model before others wait.'),
    gracePeriod: duration({ zero: true })
      .default(0)
      .describe(
        'How long a place that became free is held for the session that left it, whose next request may be on its way.',
      ),
    timeout: duration({ zero: true, most: longestWait })
      .default(30_000)
      .describe(
        'How long a request may wait, up to 59m; then it is answered 504. 0 is 59m, as long as Envoy lets it.',
      ),
  })
  .transform(({ gracePeriod, timeout, ...rest }) => ({
    ...rest,
    gracePeriodMs: gracePeriod,
    timeoutMs: timeout === 0 ? longestWaitMs : timeout,
  }));
