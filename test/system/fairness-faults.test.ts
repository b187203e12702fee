import { afterEach, describe, expect, it } from '@jest/globals';
import type { FaultInput } from '../../src/engine-sim/faults.ts';
import { profileSchema } from '../../src/engine-sim/profile.ts';
import { eventually } from '../support/eventually.ts';
import { leftOver, nothingLeft, queueOf, untilWaiting } from '../support/fairness-pages.ts';
import { startGateway, type Gateway, type GatewayOptions } from '../support/gateway.ts';
import { endpoints } from '../support/pages.ts';
import { begin, usersByHeader, type Asked } from '../support/users.ts';

/** Two engines that run two requests at once, and take many steps to answer. */
const smallEngines = [0, 1].map((seed) => ({
  seed,
  speed: 4,
  profile: profileSchema.parse({ maxNumSeqs: 2 }),
}));

describe('engines that die while requests wait', () => {
  const inFlight = 8;
  const waiting = 32;

  interface Deaths {
    readonly fault: FaultInput;
    /** How many of the two engines. */
    readonly dying: number;
    /** How many requests may fail: at most those that dying engines had. */
    readonly mayFail: number;
    /** Whether the engines have to come back. */
    readonly comeBack: boolean;
  }
  const gone: FaultInput = { mode: 'refuse', forMs: 60_000 };
  it.each<[string, Deaths]>([
    ['one of two, which is gone', { fault: gone, dying: 1, mayFail: 0, comeBack: false }],
    [
      'one of two, which answers 503',
      { fault: { mode: 'unavailable-503' }, dying: 1, mayFail: 0, comeBack: false },
    ],
    ['all, which are gone', { fault: gone, dying: 2, mayFail: inFlight, comeBack: true }],
    [
      'all, which answer nothing any more',
      { fault: { mode: 'hang', scope: 'http' }, dying: 2, mayFail: 0, comeBack: true },
    ],
  ])(
    '%s: who waited is served',
    async (_, { fault, dying, mayFail, comeBack }) => {
      const gateway = await startGateway({
        engines: smallEngines,
        config: `${usersByHeader}\nfairness: { enabled: true, maxWaitingRequests: 2, maxInFlightPerEndpoint: 4 }
scrape: { interval: 500ms, timeout: 300ms, unhealthyAfter: 1 }`,
      });
      try {
        for (const engine of gateway.engines) engine.setFault({ mode: 'hang' });
        const asked = Array.from({ length: inFlight + waiting }, (__, i) =>
          begin(gateway, i % 2 === 0 ? 'ann' : 'bob', { tokens: 20 }),
        );
        await untilWaiting(gateway, waiting);
        const dead = gateway.engines.slice(0, dying);
        for (const engine of gateway.engines)
          engine.setFault(dead.includes(engine) ? fault : { mode: 'none' });
        if (comeBack) {
          await eventually(async () =>
            (await endpoints(gateway)).every(({ health }) => health.kind === 'unhealthy'),
          );
          // Who comes now is told so at once; who waits has a turn to come.
          expect((await begin(gateway, 'cid').reply).status).toBe(503);
          expect((await queueOf(gateway)).waiting).toBe(waiting);
          for (const engine of dead) engine.setFault({ mode: 'none' });
        }
        const replies = await Promise.all(asked.map(({ reply }) => reply));
        const failed = replies.filter(({ status }) => status !== 200);
        expect(failed.length).toBeLessThanOrEqual(mayFail);
        expect(failed.map(({ status }) => status)).toEqual(failed.map(() => 503));
        expect(await leftOver(gateway)).toEqual(nothingLeft);
        expect(gateway.lines.filter(({ level }) => level === 'error')).toEqual([]);
      } finally {
        await gateway.stop();
      }
    },
    30_000,
  );
});

describe('a Sluice that ends while requests wait', () => {
  let gateway: Gateway;
  afterEach(() => gateway.stop());

  /** One request runs, and so many wait; the engine answers nobody yet. */
  async function start(options: GatewayOptions, drainTimeout: string): Promise<readonly Asked[]> {
    gateway = await startGateway({
      engines: 1,
      config: `${usersByHeader}\nfairness: { enabled: true, maxConcurrent: 1 }\nlimits: { drainTimeout: ${drainTimeout} }`,
      ...options,
    });
    gateway.engines[0]!.setFault({ mode: 'hang' });
    const asked = Array.from({ length: 6 }, () => begin(gateway, 'ann'));
    await untilWaiting(gateway, 5);
    return asked;
  }

  it.each<[string, GatewayOptions]>([
    ['with its own Envoy', {}],
    ['beside another', { mode: 'attached' }],
  ])('%s: serves them all before it ends', async (_, options) => {
    const asked = await start(options, '30s');
    const drained = gateway.app.drain();
    await gateway.line(({ msg }) => msg.startsWith('Draining: 6 exchanges running'));
    expect(await queueOf(gateway)).toMatchObject({ waiting: 5, running: 1 });
    gateway.engines[0]!.setFault({ mode: 'none' });
    for (const { reply } of asked) expect((await reply).status).toBe(200);
    await drained;
    expect(gateway.lines.filter(({ msg }) => msg.startsWith('Cutting'))).toEqual([]);
  });

  it('says so to those for whom there is no time left', async () => {
    const asked = await start({ mode: 'attached' }, '200ms');
    await gateway.app.drain();
    await gateway.line(({ msg }) => msg.startsWith('Cutting 6 exchanges'));
    await gateway.app.stop();
    for (const { reply } of asked)
      expect(await reply).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    const lines = gateway.lines.filter(({ reason }) => reason === 'shutting-down');
    expect(lines.map(({ requestId }) => requestId)).toEqual(asked.slice(1).map(({ id }) => id));
  });
});
