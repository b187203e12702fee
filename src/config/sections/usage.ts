/** The `usage` section. */
import { z } from 'zod';
import { atStart } from '../restart.ts';
import { duration } from '../units.ts';

/** How token counts and outcomes are learned. */
export const usageSection = z
  .strictObject({
    source: z
      .enum(['auto', 'access-log', 'streamed', 'none'])
      .default('auto')
      .describe(
        "Where token counts and outcomes come from: Envoy's access log, or the streamed response bodies.",
      ),
    sampleRate: z
      .number()
      .min(0)
      .max(1)
      .default(0.01)
      .describe('Share of exchanges whose response is streamed through to measure TTFT and TPOT.'),
    ask: z
      .enum(['auto', 'always', 'never'])
      .default('auto')
      .describe(
        'Whether engines are asked for the usage of streams whose clients did not ask for it (`stream_options.include_usage`): where fairness or a limit needs it, always, or never.',
      ),
    hideChunk: z
      .boolean()
      .default(true)
      .describe(
        'Whether the chunk with a usage that only Sluice asked for is taken out of the stream again, so that the client sees exactly what it would have seen. false leaves it in, which costs less: the stream need not pass through Sluice.',
      ),
    accessLogTimeout: atStart(
      duration()
        .default(2000)
        .describe("How long the end of an exchange waits for Envoy's access log entry for it."),
    ),
  })
  .transform(({ accessLogTimeout, ...rest }) => ({ ...rest, accessLogTimeoutMs: accessLogTimeout }));
