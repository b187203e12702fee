/** How long one decision takes: the default profile, a warm prefix index, prompts of 4 KB with a common first KB. */
import { systemClock } from '../../src/lib/clock.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Endpoint } from '../../src/endpoints/endpoint.ts';
import { Ticket } from '../../src/fairness/ticket.ts';
import { createDecisionLog } from '../../src/scheduling/decision-log.ts';
import { createProfile } from '../../src/scheduling/profile.ts';
import { createScheduler } from '../../src/scheduling/scheduler.ts';
import type { InferenceRequest } from '../../src/scheduling/plugin.ts';
import { anEndpoint, anOutcome, aRequest, someMetrics } from '../support/endpoints.ts';

/** The cost of `schedule` and of reserving, in microseconds. */
export interface DecisionFigure {
  readonly endpoints: number;
  /** Mean. */
  readonly microseconds: number;
  readonly p50Microseconds: number;
}

/** Measures decisions among 8, 100 and 1000 endpoints. */
export function benchDecision(): Promise<DecisionFigure[]> {
  return Promise.resolve([8, 100, 1000].map(measure));
}

const conversations = 2000;
const decisions = 10_000;

function measure(endpoints: number): DecisionFigure {
  const { scheduler: config } = loadConfig(undefined).config;
  const profile = createProfile(config.profile, { clock: systemClock, random: Math.random });
  const decisionLog = createDecisionLog();
  const scheduler = createScheduler({
    profile,
    clock: systemClock,
    decisionLog,
    maxEndpoints: config.maxEndpoints,
  });
  const candidates = Array.from({ length: endpoints }, (_, slot) => busyEndpoint(slot));
  const requests = Array.from({ length: conversations }, (_, i) => conversation(i));

  let last: Endpoint | undefined;
  const decide = (i: number) => {
    const request = requests[i % conversations];
    if (request === undefined) throw new Error('no request');
    const ticket = new Ticket();
    const startMs = performance.now();
    const decision = scheduler.schedule(request, candidates);
    if (decision.kind === 'chosen') ticket.routeTo(decision.ranked[0]);
    const tookMs = performance.now() - startMs;
    if (decision.kind === 'chosen') {
      [last] = decision.ranked;
      scheduler.settled(request, last, anOutcome(last));
    }
    ticket.settle();
    return tookMs;
  };

  for (let i = 0; i < decisions; i++) decide(i);
  const tookMs = Float64Array.from({ length: decisions }, (_, i) => decide(i)).sort();
  const totalMs = tookMs.reduce((sum, ms) => sum + ms, 0);
  return {
    endpoints,
    microseconds: (totalMs / decisions) * 1000,
    p50Microseconds: (tookMs[decisions >> 1] ?? Number.NaN) * 1000,
  };
}

function busyEndpoint(slot: number): Endpoint {
  return anEndpoint(slot, {
    inFlight: slot % 7,
    metrics: someMetrics({
      waiting: slot % 3,
      running: slot % 5,
      kvCacheUsage: (slot % 11) / 11,
      ttftSeconds: 0.1 + (slot % 13) / 100,
      tpotSeconds: 0.01 + (slot % 17) / 1000,
      prefixCache: undefined,
      inFlightAtScrape: slot % 6,
    }),
  });
}

function conversation(i: number): InferenceRequest {
  const text = 'You are a helpful assistant. '.repeat(36).slice(0, 1024) + `conversation ${i} `.repeat(300);
  return aRequest(text.slice(0, 4096), { id: `r${i}` });
}

if (import.meta.main) console.table(await benchDecision());
