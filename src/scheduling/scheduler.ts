/** Chooses endpoints for requests with a profile that can be replaced while requests are under way. */
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { Clock } from '../lib/clock.ts';
import type { DecisionLog } from './decision-log.ts';
import type { Decision, NoneEligible } from './decision.ts';
import type { InferenceRequest, Outcome, PluginMemory } from './plugin.ts';
import type { Profile } from './profile.ts';

export interface SchedulerOptions {
  readonly profile: Profile;
  readonly clock: Clock;
  readonly decisionLog: DecisionLog;
  /** How many endpoints a decision names: one to go to, the others to fail over to. */
  readonly maxEndpoints: number;
}

/** All of it is synchronous: nothing else happens between looking at endpoints and reserving one. */
export interface Scheduler {
  /** How much prompt text to read for a request, in bytes. */
  readonly promptHeadBytes: number;
  /**
   * Chooses among the candidates and lets plugins learn of it. The caller reserves with a Ticket in the same tick, so
   * that the next request sees this one. `candidates` must never change afterwards: the log keeps it.
   */
  schedule(request: InferenceRequest, candidates: readonly Endpoint[]): Decision | NoneEligible;
  /** To be called once when an exchange that was routed has ended. */
  settled(request: InferenceRequest, routedTo: Endpoint, outcome: Outcome): void;
  /** To be called when an endpoint left, restarted or became unhealthy, before its slot is used again. */
  endpointLost(endpoint: Endpoint): void;
  /** See Profile. */
  memory(): Readonly<Record<string, PluginMemory>>;
  /** Uses another profile from the next request on. What the old one learned is gone. */
  setProfile(profile: Profile): void;
}

/** A scheduler that begins with `profile`. */
export function createScheduler({ profile, clock, decisionLog, maxEndpoints }: SchedulerOptions): Scheduler {
  let current = profile;
  return {
    get promptHeadBytes() {
      return current.promptHeadBytes;
    },
    schedule(request, candidates) {
      const trace = decisionLog.begin(request.id, request.model, clock.epochMs());
      const result = current.run(request, candidates, maxEndpoints, trace);
      decisionLog.decided(result);
      if (result.kind === 'chosen') current.onRouted(request, result.ranked[0]);
      return result;
    },
    settled(request, routedTo, outcome) {
      current.onSettled(request, routedTo, outcome);
      decisionLog.settled(request.id, outcome);
    },
    endpointLost(endpoint) {
      current.onEndpointLost(endpoint);
    },
    memory: () => current.memory(),
    setProfile(replacement) {
      current = replacement;
    },
  };
}
