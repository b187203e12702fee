/** Sessions stay together: requests with the same session key go to the same endpoint. */
import { z } from 'zod';
import type { Endpoint } from '../../endpoints/endpoint.ts';
import type { Clock } from '../../lib/clock.ts';
import { HashRing } from '../../lib/hash-ring.ts';
import { RecentCounts } from '../../lib/recent-counts.ts';
import type { InferenceRequest, PluginDeps, PluginMemory, Scorer, ScorerDefinition } from '../plugin.ts';

interface SessionAffinityParams {
  readonly withoutSession: 'fewest-requests' | 'none';
  readonly statsWindowSeconds: number;
}

/** More than a decision ever names: the others on the ring get no score. */
const maxSuccessors = 16;

/**
 * score = 1 for the candidate that the session belongs to by consistent hashing, 1/2 for the next on the ring, which
 * takes over where the first is gone, 1/4 for the one after that, and so on for 16; 0 for the others. Nothing is
 * remembered of a session, so all replicas agree.
 */
export const sessionAffinityScorer: ScorerDefinition<SessionAffinityParams> = {
  kind: 'scorer',
  type: 'session-affinity',
  description: 'Sends the requests of a session to the same endpoint, by consistent hashing.',
  params: z.strictObject({
    withoutSession: z
      .enum(['fewest-requests', 'none'])
      .default('fewest-requests')
      .describe(
        'Who gets a score for a request without a session: the endpoint that was sent the fewest requests lately, or none.',
      ),
    statsWindowSeconds: z
      .int()
      .min(1)
      .max(86_400)
      .default(60)
      .describe('How long a request counts as sent lately, in seconds.'),
  }),
  create: (params, deps, previous) =>
    new SessionAffinity(params, deps, previous instanceof SessionAffinity ? previous : undefined),
};

class SessionAffinity implements Scorer {
  readonly #ring: CandidateRing;
  readonly #requests: RequestsByEndpoint;
  readonly #countsRequests: boolean;
  readonly #clock: Clock;

  constructor(params: SessionAffinityParams, { clock }: PluginDeps, previous: SessionAffinity | undefined) {
    const { withoutSession, statsWindowSeconds } = params;
    this.#ring = previous === undefined ? new CandidateRing() : previous.#ring;
    this.#requests =
      previous !== undefined && previous.#requests.windowSeconds === statsWindowSeconds
        ? previous.#requests
        : new RequestsByEndpoint(statsWindowSeconds);
    this.#countsRequests = withoutSession === 'fewest-requests';
    this.#clock = clock;
  }

  score({ sessionKey }: InferenceRequest, candidates: readonly Endpoint[], scores: Float64Array): void {
    if (sessionKey !== undefined && sessionKey !== '') this.#ring.score(sessionKey, candidates, scores);
    else if (this.#countsRequests) scores[this.#requests.fewest(candidates, this.#clock.nowMs())] = 1;
  }

  onRouted(_request: InferenceRequest, endpoint: Endpoint): void {
    if (this.#countsRequests) this.#requests.add(endpoint, this.#clock.nowMs());
  }

  memory(): PluginMemory {
    return { entries: this.#ring.points, evictions: 0 };
  }
}

/** All endpoints that ever were candidates on one ring; one that left stays until its slot is another's. */
class CandidateRing {
  /** Its nodes are slots. */
  readonly #ring = new HashRing();
  /** Who is on the ring, by slot. */
  readonly #members: (Endpoint | undefined)[] = [];
  /** Where in the list an endpoint was when it was last a candidate, by slot. */
  readonly #candidateAt: number[] = [];

  get points(): number {
    return this.#ring.nodes.length;
  }

  score(key: string, candidates: readonly Endpoint[], scores: Float64Array): void {
    this.#takeIn(candidates);
    let at = this.#ring.after(key);
    const { nodes } = this.#ring;
    const least = 2 ** -Math.min(candidates.length, maxSuccessors);
    for (let score = 1, walked = 0; score > least && walked < nodes.length; walked++) {
      const slot = nodes[at]!;
      at = at + 1 === nodes.length ? 0 : at + 1;
      const i = this.#candidateAt[slot]!;
      // Not a candidate now, or met before.
      if (candidates[i]?.slot !== slot || scores[i] !== 0) continue;
      scores[i] = score;
      score /= 2;
    }
  }

  #takeIn(candidates: readonly Endpoint[]): void {
    for (let i = 0; i < candidates.length; i++) {
      const endpoint = candidates[i]!;
      const { slot } = endpoint;
      if (this.#members[slot] !== endpoint) {
        this.#members[slot] = endpoint;
        this.#ring.join(slot, endpoint.url);
      }
      this.#candidateAt[slot] = i;
    }
  }
}

/** How many requests each endpoint was sent lately, whatever session and model they had. */
class RequestsByEndpoint {
  readonly windowSeconds: number;
  readonly #counts: RecentCounts;
  /** Whose requests are counted, by slot. */
  readonly #counted: (Endpoint | undefined)[] = [];

  constructor(windowSeconds: number) {
    this.windowSeconds = windowSeconds;
    this.#counts = new RecentCounts(windowSeconds * 1000);
  }

  add(endpoint: Endpoint, nowMs: number): void {
    const { slot } = endpoint;
    if (this.#counted[slot] !== endpoint) {
      this.#counted[slot] = endpoint;
      this.#counts.forget(slot);
    }
    this.#counts.add(slot, nowMs);
  }

  /** Where the first candidate is that was never sent a request, or else the first of those with the fewest lately. */
  fewest(candidates: readonly Endpoint[], nowMs: number): number {
    let best = 0;
    let fewest = Infinity;
    for (let i = 0; i < candidates.length; i++) {
      const { slot } = candidates[i]!;
      const count = this.#counted[slot] === candidates[i] ? this.#counts.count(slot, nowMs) : -1;
      if (count >= fewest) continue;
      best = i;
      fewest = count;
    }
    return best;
  }
}
