/** Turns for sessions that come back while engines still have their prefix in the cache, as Kthena boosts them. */
import type { TurnPolicy } from '../turn-policy.ts';

export interface SessionBoostOptions {
  /** How many sessions are remembered; the one that completed a request longest ago is forgotten first. */
  readonly maxSessions: number;
}

export interface SessionBoostPolicy extends TurnPolicy {
  /** How many sessions it remembers. */
  readonly size: number;
  /** Changes the bound; sessions stay as far as there is room. */
  update(options: SessionBoostOptions): void;
}

/** Numbers count the ends of requests of all sessions. */
interface Session {
  /** The last end. */
  ended: number;
  /** The last end of a request that used something; 0 while none is known to have. */
  completed: number;
}

const sessionPrefix = 'session ';

/** The flow of a request: that of its session, or where it has none one of its own. */
export function sessionFlow(session: string | undefined, requestId: string): string {
  return session === undefined || session === '' ? `request ${requestId}` : sessionPrefix + session;
}

/**
 * Creates the policy; its flows are those of `sessionFlow`. Sessions that completed a request go before everybody else,
 * the most recent first; all others go by arrival. Whether a session is boosted is decided when its first request begins
 * to wait, and stays so until none of it waits.
 *
 * A request counts as completed from its end on, because what it used may be known only after the session is back; one
 * that turns out to have used nothing is taken back.
 */
export function createSessionBoostPolicy({ maxSessions }: SessionBoostOptions): SessionBoostPolicy {
  /** By the end of their last request. */
  const sessions = new Map<string, Session>();
  /** Of those that wait. */
  const priorities = new Map<string, number>();
  let max = maxSessions;
  let ends = 0;

  function ended(flow: string): Session {
    const session = sessions.get(flow) ?? { ended: 0, completed: 0 };
    session.ended = ++ends;
    sessions.delete(flow);
    sessions.set(flow, session);
    trim();
    return session;
  }

  function trim(): void {
    for (const flow of sessions.keys()) {
      if (sessions.size <= max) return;
      sessions.delete(flow);
    }
  }

  function priorityOf(flow: string): number {
    const session = sessions.get(flow);
    return session === undefined ? Infinity : -session.ended;
  }

  return {
    priority: (flow) => priorities.get(flow) ?? Infinity,
    activated(flow) {
      priorities.set(flow, priorityOf(flow));
    },
    deactivated(flow) {
      priorities.delete(flow);
    },
    released: () => {},
    freed(flow) {
      if (!flow.startsWith(sessionPrefix)) return false;
      ended(flow);
      return true;
    },
    settled(flow, _weight, _expected, spent) {
      if (!flow.startsWith(sessionPrefix)) return;
      if (spent !== undefined) {
        const session = sessions.get(flow) ?? ended(flow);
        session.completed = session.ended;
        return;
      }
      const session = sessions.get(flow);
      if (session === undefined) return;
      session.ended = session.completed;
      if (session.completed === 0) sessions.delete(flow);
    },
    returns: (flow, active = Infinity) => priorityOf(flow) < active,
    epoch: () => 0,
    get size() {
      return sessions.size;
    },
    update(options) {
      max = options.maxSessions;
      trim();
    },
  };
}
