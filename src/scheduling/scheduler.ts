/** Chooses endpoints for requests with a profile that can be replaced while requests are under way. */
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { Clock } from '../lib/clock.ts';
import type { DecisionLog } from './decision-log.ts';
import type { Decision, NoneEligible } from './decision.ts';
import type { InferenceRequest, Outcome, PluginMemory } from './plugin.ts';
import type { Profile } from './profile.ts';

/** What may change while it runs. */
export interface SchedulerSettings {
  readonly profile: Profile;
  /** How many endpoints a decision names: one to go to, the others to fail over to. */
  readonly maxEndpoints: number;
}

export interface SchedulerOptions extends SchedulerSettings {
  readonly clock: Clock;
  readonly decisionLog: DecisionLog;
}

/** All of it is synchronous: nothing else happens between looking at endpoints and reserving one. */
export interface Scheduler {
  /** The one in use: what the next profile is made from, see createProfile. */
  readonly profile: Profile;
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
  /**
   * Uses other settings from the next request on. Exchanges that the old profile routed settle with the new one, which
   * knows what the old one learned as far as it was made from it.
   */
  update(settings: SchedulerSettings): void;
}

/** A scheduler that begins with these settings. */
export function createScheduler({ clock, decisionLog, ...initial }: SchedulerOptions): Scheduler {
  let { profile: current, maxEndpoints } = initial;
  return {
    get profile() {
      return current;
    },
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
    update(settings) {
      current = settings.profile;
      maxEndpoints = settings.maxEndpoints;
    },
  };
}
