/** What a request passes before it is scheduled, put together: limits, queues, the ledger, and what replicas share of them. */
import { randomUUID } from 'node:crypto';
import type { Config } from './config/schema.ts';
import type { EndpointSnapshot } from './endpoints/endpoint.ts';
import { createAdmission, type AdmissionResult, type Admit } from './fairness/admission.ts';
import { createLedger, type Ledger } from './fairness/ledger.ts';
import { createLocalLimitStore } from './fairness/limit-store.ts';
import { createModelQueues, type ModelQueues } from './fairness/model-queues.ts';
import { createTokenEstimates } from './fairness/token-estimates.ts';
import { createTokenLimits, type TokenLimits } from './fairness/token-limits.ts';
import type { Clock } from './lib/clock.ts';
import type { FairnessMetrics } from './observability/fairness-metrics.ts';
import { ledgerOptions, queueSettings } from './part-options.ts';
import { createRedisConnection, type RedisChange, type RedisConnection } from './redis/connection.ts';
import { createRedisLimitStore, type RedisLimitStore } from './redis/limit-store.ts';
import { createSharedLedger } from './redis/shared-ledger.ts';

export interface AccountingDeps {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly snapshot: () => EndpointSnapshot;
  readonly metrics: FairnessMetrics;
  /** Told when the Redis that replicas share comes and goes. */
  readonly onStore: (address: string, change: RedisChange) => void;
  readonly onBug: (error: unknown) => void;
}

/** The Redis that replicas share, for people. */
export interface StoreStatus {
  readonly address: string;
  readonly up: boolean;
  /** Why it is not. */
  readonly problem: string | undefined;
}

export interface Accounting extends Admit {
  readonly queues: ModelQueues;
  readonly ledger: Ledger;
  readonly limits: TokenLimits;
  /** Undefined where nothing is shared. */
  store(): StoreStatus | undefined;
  /** Begins to share. Requests do not wait for it. */
  start(): void;
  /** Follows another configuration; what was counted stays. */
  update(config: Config): void;
  /** Everybody who waits leaves; tells the other replicas what they do not know yet. */
  stop(): Promise<void>;
}

/** What replicas share, over one connection. */
interface Sharing {
  readonly store: RedisLimitStore;
  start(): void;
  stop(): Promise<void>;
}

/** Puts the parts together for a configuration. */
export function createAccounting(deps: AccountingDeps, config: Config): Accounting {
  const { clock, random, metrics } = deps;
  const replica = randomUUID();
  const ledger = createLedger({ clock }, ledgerOptions(config));
  const queues = createModelQueues(
    {
      clock,
      ledger,
      snapshot: deps.snapshot,
      onRelease: (model, waitedMs) => metrics.queue(model).released(waitedMs / 1000),
      onLeave: (model, reason) => metrics.queue(model).left(reason),
    },
    queueSettings(config),
  );
  const connection =
    config.limits.store === 'memory'
      ? undefined
      : createRedisConnection({ clock, random }, { url: config.limits.store });
  const sharing = connection && share(connection);
  const limits = createTokenLimits(
    { store: sharing?.store ?? createLocalLimitStore({ clock }) },
    config.limits.rules,
  );
  const admission = createAdmission({ ledger, limits, queues, estimates: createTokenEstimates() });
  metrics.watchFairness({
    queues: () => queues.figures(),
    ledger,
    limits,
    redisUp: () => connection?.up,
  });

  function share(redis: RedisConnection): Sharing {
    const store = createRedisLimitStore({ clock, connection: redis }, { replica });
    const shared = createSharedLedger(
      {
        clock,
        random,
        connection: redis,
        ledger,
        onRemote: (principal, model, count) => queues.onRemote(principal, model, count),
        onBug: deps.onBug,
      },
      { id: replica },
    );
    redis.onChange((change) => deps.onStore(redis.address, change));
    return {
      store,
      start() {
        void redis.start();
        shared.start();
      },
      async stop() {
        await shared.stop();
        store.stop();
        await redis.stop();
      },
    };
  }

  function count(result: AdmissionResult): void {
    if (result.kind === 'limited') metrics.limitRefused(result.refusal.limit);
  }

  return {
    queues,
    ledger,
    limits,
    admit(arrival, onWait) {
      const result = admission.admit(arrival, onWait);
      if (result instanceof Promise) void result.then(count);
      else count(result);
      return result;
    },
    store: () => connection && { address: connection.address, up: connection.up, problem: connection.why },
    start: () => sharing?.start(),
    update(next) {
      ledger.update(ledgerOptions(next));
      limits.update(next.limits.rules);
      queues.update(queueSettings(next));
    },
    async stop() {
      queues.close();
      await sharing?.stop();
    },
  };
}
