import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { profileSchema } from '../../src/engine-sim/profile.ts';
import type { SimulatedEngine } from '../../src/engine-sim/server.ts';
import { envoyWithoutAccessLog, fullDuplexEnvoy } from '../support/attached-envoys.ts';
import { bearer, untilReady } from '../support/callers.ts';
import { eventually } from '../support/eventually.ts';
import {
  leftOver,
  leftQueue,
  ledger,
  nothingLeft,
  queueOf,
  untilWaiting,
} from '../support/fairness-pages.ts';
import { startGateway, type ExchangeLine, type Gateway, type GatewayOptions } from '../support/gateway.ts';
import { startIssuer, type Issuer } from '../support/issuer.ts';
import { endpoints } from '../support/pages.ts';
import { exchangeOf, expectRefusal } from '../support/refusals.ts';
import { replaceFile } from '../support/replace-file.ts';
import {
  begin,
  countByUser,
  startClients,
  turns,
  userOf,
  usersByHeader,
  type Asked,
  type Question,
} from '../support/users.ts';

const quickScrape = 'scrape: { interval: 100ms, timeout: 300ms, staleAfter: 2s, unhealthyAfter: 2 }';

/** Engines that run two requests at once, and take many steps to answer. */
function smallEngines(count: number) {
  const profile = profileSchema.parse({ maxNumSeqs: 2 });
  return Array.from({ length: count }, (_, seed) => ({ seed, speed: 4, profile, requestLogSize: 5000 }));
}

/** The value that all but one in twenty do not exceed. */
function p95(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? Number.NaN;
}

describe('beside a caller with ten times the requests', () => {
  const few = 12;
  const enough = 60;

  interface Race {
    /** Of the light caller's requests: how many others got their turn while one waited. */
    readonly waits: readonly number[];
    /** What the pages said meanwhile, again and again. */
    readonly pages: readonly {
      readonly waiting: number;
      readonly freeSlots: number;
      readonly inFlight: readonly number[];
    }[];
  }

  /** A light caller's clients beside so many of another one, who was there first. */
  async function race(gateway: Gateway, others: number): Promise<Race> {
    const heavy = startClients(() => begin(gateway, `heavy${others}`, { tokens: 20 }), others);
    await eventually(() => heavy.served >= others / 2);
    const turnsBefore = new Map<string, number>();
    const light = startClients(
      () => begin(gateway, `light${others}`, { tokens: 20 }),
      few,
      ({ id }) => turnsBefore.set(id, turns(gateway).length),
    );
    const pages: Race['pages'][number][] = [];
    while (light.served < enough || pages.length < 10) {
      const { waiting, freeSlots } = await queueOf(gateway);
      pages.push({
        waiting,
        freeSlots,
        inFlight: (await endpoints(gateway)).map(({ inFlight }) => inFlight),
      });
    }
    await Promise.all([heavy.stop(), light.stop()]);
    const order = new Map(turns(gateway).map((id, index) => [id, index]));
    const waits = [...turnsBefore].flatMap(([id, before]) => {
      const turn = order.get(id);
      return turn === undefined ? [] : [turn - before];
    });
    return { waits, pages };
  }

  /** The same policy, with equal demand and with ten times as much of the other caller's. */
  async function races(policy: string) {
    const gateway = await startGateway({
      engines: smallEngines(2),
      config: `${usersByHeader}\n${quickScrape}\nfairness: { enabled: true, policy: ${policy}, maxWaitingRequests: 2 }`,
    });
    try {
      const equal = await race(gateway, few);
      const unequal = await race(gateway, 10 * few);
      expect(await leftOver(gateway)).toEqual(nothingLeft);
      return { equal, unequal };
    } finally {
      await gateway.stop();
    }
  }

  it.each(['vtc', 'window'])(
    'another one waits no longer than beside an equal, with policy %s, and no engine is idle meanwhile',
    async (policy) => {
      const { equal, unequal } = await races(policy);
      // Somebody does wait, or nothing would have been shown.
      expect(p95(equal.waits)).toBeGreaterThan(few / 2);
      expect(p95(unequal.waits)).toBeLessThanOrEqual(2 * p95(equal.waits));
      for (const { waiting, freeSlots, inFlight } of unequal.pages) {
        expect(waiting).toBeGreaterThan(0);
        expect(freeSlots).toBe(0);
        expect(Math.min(...inFlight)).toBeGreaterThan(0);
      }
    },
    60_000,
  );

  it('another one waits several times as long with policy fifo', async () => {
    const { equal, unequal } = await races('fifo');
    expect(p95(unequal.waits)).toBeGreaterThan(3 * p95(equal.waits));
  }, 60_000);
});

describe('turns', () => {
  let folder: string;
  let gateway: Gateway;
  let engine: SimulatedEngine;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
    await writeFile(configFile(), configWith(oneAtATime));
    gateway = await startGateway({
      engines: [{ speed: 20, requestLogSize: 5000 }],
      configFile: configFile(),
    });
    engine = gateway.engines[0]!;
  }, 60_000);
  afterAll(async () => {
    await gateway.stop();
    await rm(folder, { recursive: true });
  });
  beforeEach(() => configure(oneAtATime));
  afterEach(async () => {
    engine.setFault({ mode: 'none' });
    expect(await leftOver(gateway)).toEqual(nothingLeft);
    expect(gateway.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  const oneAtATime = 'fairness: { enabled: true, maxConcurrent: 1 }';
  const configFile = (): string => path.join(folder, 'sluice.yaml');

  /** Envoy's own patience is much shorter than what requests may wait. */
  function configWith(sections: string): string {
    return `${usersByHeader}\nenvoy: { messageTimeout: 1s }\nusage: { sampleRate: 0 }\n${sections}`;
  }

  async function configure(sections: string): Promise<void> {
    await replaceFile(configFile(), configWith(sections));
    await gateway.app.reload();
    expect(await gateway.admin('/health')).toMatchObject({ config: { lastReloadSuccessful: true } });
  }

  /** Begins a request that stays with the engine, which answers nobody until it is told to go on. */
  async function occupy(question: Question = {}, user = 'first'): Promise<Asked> {
    engine.setFault({ mode: 'hang' });
    const asked = begin(gateway, user, question);
    await eventually(() => turns(gateway).includes(asked.id));
    return asked;
  }

  /** Begins requests, each when the one before waits. */
  async function line(users: readonly (string | undefined)[], question: Question = {}): Promise<Asked[]> {
    const { waiting } = await queueOf(gateway);
    const asked: Asked[] = [];
    for (const user of users) {
      asked.push(begin(gateway, user, question));
      await untilWaiting(gateway, waiting + asked.length);
    }
    return asked;
  }

  /** Lets the engine go on; returns the order in which it got these requests, which are all served. */
  async function goOn(asked: readonly Asked[]): Promise<readonly string[]> {
    engine.setFault({ mode: 'none' });
    for (const { reply } of asked) expect((await reply).status).toBe(200);
    const ids = new Set(asked.map(({ id }) => id));
    return turns(gateway).filter((id) => ids.has(id));
  }

  const lineOf = ({ id }: Asked): Promise<ExchangeLine> =>
    gateway.exchange(({ requestId }) => requestId === id);

  function repeat<T>(count: number, ...users: readonly T[]): T[] {
    return Array.from({ length: count }, () => users).flat();
  }

  it('alternate between callers, however many requests one has, and are in order of arrival for each', async () => {
    const first = await occupy();
    const heavy = await line(repeat(8, 'heavy'));
    const light = await line(repeat(4, 'light'));
    const order = await goOn([...heavy, ...light]);
    // One turn more or less: what a request used is known a moment after its end.
    for (let turn = 4; turn <= 8; turn += 2) {
      const { heavy: heavyTurns = 0, light: lightTurns = 0 } = countByUser(order.slice(0, turn));
      expect(Math.abs(heavyTurns - lightTurns)).toBeLessThanOrEqual(2);
    }
    for (const asked of [heavy, light])
      expect(order.filter((id) => userOf(id) === userOf(asked[0]!.id))).toEqual(asked.map(({ id }) => id));
    expect((await first.reply).status).toBe(200);
    const waited = await lineOf(heavy[7]!);
    expect(waited['queueMs']).toBeGreaterThan(0);
    expect(waited['msg']).toMatch(/ ms in the queue$/);
    expect((await lineOf(first))['queueMs']).toBeUndefined();
  });

  it('are in order of arrival with policy fifo', async () => {
    await configure('fairness: { enabled: true, maxConcurrent: 1, policy: fifo }');
    await occupy();
    const asked = await line([...repeat(4, 'heavy'), ...repeat(2, 'light')]);
    expect(await goOn(asked)).toEqual(asked.map(({ id }) => id));
  });

  it('of callers who do not say who they are come as those of one', async () => {
    await occupy();
    const asked = await line([...repeat(6, undefined), ...repeat(3, 'ann', 'bob')]);
    const order = await goOn(asked);
    // Neither first, nor last, nor six callers against two.
    for (let turn = 3; turn <= 9; turn += 3)
      expect(countByUser(order.slice(0, turn))).toEqual({ nobody: turn / 3, ann: turn / 3, bob: turn / 3 });
  });

  it('are not lost on a client that left: it leaves at once, and no engine hears of it', async () => {
    const { left: before = 0 } = await leftQueue(gateway);
    await occupy();
    const [leaves, ...stay] = await line(['ann', 'bob', 'ann']);
    leaves!.outgoing.destroy();
    await untilWaiting(gateway, 2);
    expect(await lineOf(leaves!)).toMatchObject({ status: 0, outcome: 'aborted', usageSource: 'none' });
    expect((await leftQueue(gateway))['left']).toBe(before + 1);
    const [ofAnn] = (await ledger(gateway)).filter(({ principal }) => principal.endsWith(':ann'));
    // Nothing is set aside for who waits, nor left of who has gone.
    expect(ofAnn?.reserved.requests ?? 0).toBe(0);
    expect(await goOn(stay)).toHaveLength(2);
    expect(turns(gateway)).not.toContain(leaves!.id);
  });

  it('come after longer than Envoy waits for an answer', async () => {
    await occupy();
    const [patient] = await line(['ann']);
    await eventually(async () => {
      const { flows } = (await queueOf(gateway)) as { flows: readonly { longestWaitSeconds?: number }[] };
      return (flows[0]?.longestWaitSeconds ?? 0) > 1.2;
    });
    expect(await goOn([patient!])).toHaveLength(1);
  });

  it('do not come in time: 504 of ours, where Envoy would have given up before', async () => {
    await configure('fairness: { enabled: true, maxConcurrent: 1, queueTimeout: 2s }');
    const { timeout: before = 0 } = await leftQueue(gateway);
    const first = await occupy();
    const [late, later] = await line(['ann', 'bob']);
    const reply = await late!.reply;
    await expectRefusal(gateway, reply, {
      status: 504,
      reason: 'queue-timeout',
      type: 'timeout_error',
      message: 'The request waited too long for its turn.',
    });
    expect(reply.headers['retry-after']).toBe('1');
    expect((await exchangeOf(gateway, reply))['queueMs']).toBeGreaterThan(0);
    expect((await later!.reply).status).toBe(504);
    expect((await leftQueue(gateway))['timeout']).toBe(before + 2);
    await goOn([first]);
    expect(turns(gateway)).not.toContain(late!.id);
  });

  it('are not to be had in a full queue: 429 with a time to come back', async () => {
    await configure(
      'fairness: { enabled: true, maxConcurrent: 1, maxQueued: 3, maxQueuedPerPrincipal: 2, queueTimeout: 90s }',
    );
    const { full: before = 0 } = await leftQueue(gateway);
    const first = await occupy();
    const waiting = await line(['ann', 'ann']);
    const refused = await begin(gateway, 'ann').reply;
    await expectRefusal(gateway, refused, {
      status: 429,
      reason: 'queue-full',
      type: 'rate_limit_error',
      message: 'Too many of your requests are waiting for this model.',
    });
    waiting.push(...(await line(['bob'])));
    const crowdedOut = await begin(gateway, 'cid').reply;
    await expectRefusal(gateway, crowdedOut, {
      status: 429,
      reason: 'queue-full',
      type: 'rate_limit_error',
      message: 'Too many requests are waiting for this model.',
    });
    for (const { headers } of [refused, crowdedOut]) {
      const retryAfter = Number(headers['retry-after']);
      expect(retryAfter).toBeGreaterThanOrEqual(1);
      expect(retryAfter).toBeLessThanOrEqual(90);
      expect(headers['x-should-retry']).toBe(retryAfter > 60 ? 'false' : undefined);
    }
    expect((await leftQueue(gateway))['full']).toBe(before + 2);
    await goOn([first, ...waiting]);
    expect((await begin(gateway, 'cid').reply).status).toBe(200);
  });

  it('are kept by who waits when the policy changes, and needed by nobody when fairness is turned off', async () => {
    const first = await occupy();
    const asked = await line([...repeat(3, 'heavy'), 'light']);
    await configure('fairness: { enabled: true, maxConcurrent: 1, policy: fifo }');
    expect(await queueOf(gateway)).toMatchObject({ waiting: 4, running: 1 });
    await configure('fairness: { enabled: true, maxConcurrent: 1, policy: window }');
    expect(await queueOf(gateway)).toMatchObject({ waiting: 4, running: 1 });
    asked.push(...(await line(['light'])));
    await configure('fairness: { enabled: false }');
    await eventually(() => engine.stats().running + engine.stats().waiting === 6);
    expect(await queueOf(gateway)).toMatchObject({ waiting: 0 });
    // Nobody waits from now on either.
    asked.push(begin(gateway, 'light'));
    await eventually(() => engine.stats().running + engine.stats().waiting === 7);
    await goOn([first, ...asked]);
  });

  it('begin with whoever comes when fairness is turned on under load', async () => {
    await configure('fairness: { enabled: false }');
    engine.setFault({ mode: 'hang' });
    const free = repeat(3, 'ann').map((user) => begin(gateway, user));
    await eventually(() => engine.stats().running + engine.stats().waiting === 3);
    await configure('fairness: { enabled: true, maxInFlightPerEndpoint: 3 }');
    const asked = await line(['ann', 'bob']);
    await goOn([...free, ...asked]);
  });

  it('change their order with the policy while requests wait', async () => {
    await configure('fairness: { enabled: true, maxConcurrent: 1, policy: fifo }');
    await occupy();
    const asked = await line([...repeat(4, 'heavy'), 'light']);
    await configure('fairness: { enabled: true, maxConcurrent: 1 }');
    const order = await goOn(asked);
    expect(countByUser(order.slice(0, 2))).toEqual({ heavy: 1, light: 1 });
  });

  it('come soonest for the session that was answered last, where sessions are boosted', async () => {
    await configure('sessionBoost: { enabled: true, inflightPerPod: 1 }');
    const session = (name: string): Question => ({ headers: [['x-session-id', name]] });
    for (const name of ['old', 'recent'])
      expect((await begin(gateway, 'ann', session(name)).reply).status).toBe(200);
    const first = await occupy();
    const stranger = await line(['bob']);
    const old = await line(['ann'], session('old'));
    const unknown = await line(['ann'], session('unknown'));
    const recent = await line(['ann'], session('recent'));
    expect(await goOn([first, ...stranger, ...old, ...unknown, ...recent])).toEqual(
      [first, ...recent, ...old, ...stranger, ...unknown].map(({ id }) => id),
    );
  });

  it('are held for the session that was just answered, as long as the grace period says', async () => {
    await configure('sessionBoost: { enabled: true, inflightPerPod: 1, gracePeriod: 60s }');
    const question: Question = { headers: [['x-session-id', 'back-at-once']] };
    const first = await occupy(question, 'ann');
    const waiting = await line(['bob', 'cid']);
    await goOn([first]);
    expect(await queueOf(gateway)).toMatchObject({ waiting: 2 });
    const second = begin(gateway, 'ann', question);
    expect((await second.reply).status).toBe(200);
    expect(await queueOf(gateway)).toMatchObject({ waiting: 2 });
    await configure('sessionBoost: { enabled: true, inflightPerPod: 1 }');
    expect(await goOn([second, ...waiting])).toEqual([second, ...waiting].map(({ id }) => id));
  });
});

describe('shares by claim', () => {
  let issuer: Issuer;
  let gateway: Gateway;
  beforeAll(async () => {
    issuer = await startIssuer();
    gateway = await startGateway({
      engines: [{ speed: 20, requestLogSize: 1000 }],
      config: JSON.stringify({
        auth: { ...issuer.section, tierClaim: 'plan' },
        fairness: {
          enabled: true,
          maxConcurrent: 1,
          weights: { claim: 'share', tiers: { gold: 3 }, groups: { staff: 2 }, subjects: { vip: 4 } },
        },
        usage: { sampleRate: 0 },
      }),
    });
    await untilReady(gateway);
  }, 60_000);
  afterAll(async () => {
    await gateway.stop();
    await issuer.stop();
  });

  it.each<[string, object, number]>([
    ['a tier', { plan: 'gold' }, 3],
    ['a group', { groups: ['staff'] }, 2],
    ['a claim that is a number', { share: 5, plan: 'gold' }, 5],
    ['a subject', { sub: 'vip' }, 4],
  ])('%s: so many turns for each one of somebody else', async (name, claims, share) => {
    const engine = gateway.engines[0]!;
    const rounds = 4;
    const of = async (sub: string, more: object): Promise<Question> => ({
      headers: bearer(await issuer.signed({ sub, ...more })),
      tokens: 10,
    });
    const heavier = await of(`heavier by ${name}`, claims);
    const usual = await of(`usual beside ${name}`, {});

    engine.setFault({ mode: 'hang' });
    const asked = [begin(gateway, 'first', await of('first', {}))];
    await eventually(() => turns(gateway).includes(asked[0]!.id));
    const count = rounds * (share + 1);
    for (let i = 0; i < count; i++) asked.push(begin(gateway, 'usual', usual));
    for (let i = 0; i < count; i++) asked.push(begin(gateway, 'heavier', heavier));
    await untilWaiting(gateway, 2 * count);
    engine.setFault({ mode: 'none' });
    for (const { reply } of asked) expect((await reply).status).toBe(200);

    const ids = new Set(asked.slice(1).map(({ id }) => id));
    const { heavier: more = 0 } = countByUser(
      turns(gateway)
        .filter((id) => ids.has(id))
        .slice(0, count),
    );
    expect(Math.abs(more - rounds * share)).toBeLessThanOrEqual(1);
    expect(await leftOver(gateway)).toEqual(nothingLeft);
  });
});

const others: readonly (readonly [string, GatewayOptions])[] = [
  ['without access log', envoyWithoutAccessLog],
  ['that sends bodies FULL_DUPLEX_STREAMED', fullDuplexEnvoy],
];

describe.each(others)('behind an Envoy %s', (_, options) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      engines: [{ speed: 20, requestLogSize: 1000 }],
      config: `${usersByHeader}\nenvoy: { messageTimeout: 1s }
fairness: { enabled: true, maxConcurrent: 1, queueTimeout: 4s, maxQueuedPerPrincipal: 6 }`,
      ...options,
    });
  }, 60_000);
  afterAll(() => gateway.stop());

  it('requests get their turns, leave, are refused, and are told that it takes too long', async () => {
    const engine = gateway.engines[0]!;
    engine.setFault({ mode: 'hang' });
    const first = begin(gateway, 'first');
    await eventually(() => turns(gateway).includes(first.id));
    // Large enough to come in several messages where bodies are streamed.
    const prompt = 'word '.repeat(50_000);
    const heavy = Array.from({ length: 6 }, (__, i) => begin(gateway, 'heavy', i === 0 ? { prompt } : {}));
    await untilWaiting(gateway, 6);
    const light = Array.from({ length: 3 }, () => begin(gateway, 'light', { stream: true }));
    await untilWaiting(gateway, 9);
    expect(await begin(gateway, 'heavy').reply).toMatchObject({ status: 429 });
    const leaves = light.pop()!;
    leaves.outgoing.destroy();
    await untilWaiting(gateway, 8);
    engine.setFault({ mode: 'none' });
    for (const { reply } of [first, ...heavy, ...light]) expect((await reply).status).toBe(200);
    const waited = turns(gateway).slice(turns(gateway).indexOf(first.id) + 1);
    expect(waited).toHaveLength(8);
    expect(waited).not.toContain(leaves.id);
    expect(light.every(({ id }) => waited.indexOf(id) < 5)).toBe(true);

    engine.setFault({ mode: 'hang' });
    const last = begin(gateway, 'last');
    await eventually(() => turns(gateway).includes(last.id));
    const late = await begin(gateway, 'late').reply;
    expect(late).toMatchObject({ status: 504, headers: { 'content-type': 'application/json' } });
    expect(late.json).toMatchObject({ error: { code: 'queue_timeout' } });
    engine.setFault({ mode: 'none' });
    expect((await last.reply).status).toBe(200);
    expect(await leftOver(gateway)).toEqual(nothingLeft);
    expect(gateway.lines.filter(({ level }) => level === 'error')).toEqual([]);
  }, 20_000);
});
