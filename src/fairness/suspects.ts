/**
 * Endpoints that let a request down. An engine that fails answers faster than one that works, and has nothing in flight
 * soon: without this everybody who waits would be sent to it one after another, until somebody notices.
 */
import type { Endpoint } from '../endpoints/endpoint.ts';
import { createAlarm } from '../lib/alarm.ts';
import type { Clock } from '../lib/clock.ts';

export interface Suspects {
  /** A request got no answer of this endpoint, or 503. */
  failed(endpoint: Endpoint): void;
  /** It answered one, or it may be another engine by now. */
  cleared(endpoint: Endpoint): void;
  /** How many requests it is trusted with of those that it has room for: none for a second, then one until it answers. */
  trusted(endpoint: Endpoint, room: number): number;
  /** How many there are. */
  readonly size: number;
  stop(): void;
}

export interface SuspectsDeps {
  readonly clock: Clock;
  /** An endpoint is trusted with a request again. */
  readonly onTrial: () => void;
}

interface Suspicion {
  readonly untilMs: number;
  /** Least that it had in flight since then: requests that it got before. */
  others: number;
}

const suspicionMs = 1000;

export function createSuspects({ clock, onTrial }: SuspectsDeps): Suspects {
  const suspicions = new Map<Endpoint, Suspicion>();
  const alarm = createAlarm(clock, ring);

  function ring(): void {
    arm();
    onTrial();
  }

  function arm(): void {
    const nowMs = clock.nowMs();
    for (const { untilMs } of suspicions.values()) if (untilMs > nowMs) alarm.at(untilMs);
  }

  return {
    failed(endpoint) {
      suspicions.set(endpoint, { untilMs: clock.nowMs() + suspicionMs, others: Infinity });
      arm();
    },
    cleared: (endpoint) => void suspicions.delete(endpoint),
    trusted(endpoint, room) {
      const suspicion = suspicions.get(endpoint);
      if (suspicion === undefined) return room;
      if (suspicion.untilMs > clock.nowMs()) return 0;
      suspicion.others = Math.min(suspicion.others, endpoint.inFlight);
      return endpoint.inFlight > suspicion.others ? 0 : Math.min(1, room);
    },
    get size() {
      return suspicions.size;
    },
    stop: () => alarm.cancel(),
  };
}
