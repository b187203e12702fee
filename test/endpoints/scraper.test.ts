import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { endpointId, type Endpoint } from '../../src/endpoints/endpoint.ts';
import { createEndpointStore, type EndpointStore } from '../../src/endpoints/endpoint-store.ts';
import { createScraper, type Scraper, type ScraperOptions } from '../../src/endpoints/scraper.ts';
import { makeCertificate } from '../support/certificates.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { LoopbackEngine, vllmPage } from '../support/loopback-engine.ts';
import { until } from '../support/until.ts';

/** Counts the timers of probes: they are the short ones, since calls and staleness take longer than an interval. */
class ProbeClock extends FakeClock {
  armed = 0;
  /** The delays of all timers ever armed. */
  readonly delaysMs: number[] = [];

  override after(...args: Parameters<FakeClock['after']>): ReturnType<FakeClock['after']> {
    this.delaysMs.push(args[0]);
    if (args[0] <= 1000) this.armed++;
    return super.after(...args);
  }
}

let clock: ProbeClock;
let store: EndpointStore;
let scraper: Scraper | undefined;
let engines: LoopbackEngine[];
let lost: string[];
let scrapes: string[];

beforeEach(() => {
  clock = new ProbeClock();
  store = createEndpointStore({ clock });
  engines = [];
  lost = [];
  scrapes = [];
  store.subscribe((_snapshot, change) => lost.push(...change.lost.map(({ id }) => id)));
});

afterEach(async () => {
  scraper?.stop();
  scraper = undefined;
  expect(clock.pending).toBe(0);
  await Promise.all(engines.map((engine) => engine.stop()));
});

async function engine(...args: Parameters<typeof LoopbackEngine.start>): Promise<LoopbackEngine> {
  const started = await LoopbackEngine.start(...args);
  engines.push(started);
  return started;
}

/** Starts scraping; `random` is 0.5, so that intervals are exact. */
function scrape(options: ScraperOptions = {}): void {
  scraper = createScraper(
    { store, clock, random: () => 0.5, scraped: (result) => scrapes.push(result) },
    { intervalMs: 1000, timeoutMs: 2000, ...options },
  );
  scraper.start();
  clock.advance(50);
}

function only(): Endpoint {
  const [endpoint] = store.snapshot.endpoints;
  if (endpoint === undefined) throw new Error('the store is empty');
  return endpoint;
}

/** Runs `act` and waits for the end of one probe, which is when the timer of the next is armed. */
async function probe(act: () => void = () => clock.advance(1000)): Promise<void> {
  const before = clock.armed;
  act();
  await until(() => clock.armed > before);
}

/** Watches what the store has until the first probe of one endpoint is over. */
async function firstProbe(options?: ScraperOptions): Promise<void> {
  const watched = store.snapshot.endpoints.length;
  scrape(options);
  await until(() => clock.armed > watched);
}

async function watch(target: LoopbackEngine, options?: ScraperOptions): Promise<Endpoint> {
  store.setTargets([target.target()]);
  await firstProbe(options);
  return only();
}

describe('createScraper()', () => {
  it('makes an endpoint ready with its first answer, with models and metrics', async () => {
    const target = await engine();
    target.serve('base', { id: 'adapter', parent: 'base' });
    target.page(vllmPage({ running: 3, waiting: 2, usage: 0.25 }));
    store.setTargets([target.target()]);
    expect(only().health).toEqual({ kind: 'unknown' });
    expect(store.snapshot.readyByModel.size).toBe(0);
    only().inFlight = 4;
    await firstProbe();
    expect(only().health).toEqual({ kind: 'healthy' });
    expect([...store.snapshot.readyByModel.keys()]).toEqual(['base', 'adapter']);
    expect(only().listedModels?.get('adapter')).toEqual({
      id: 'adapter',
      parent: 'base',
      maxModelLen: undefined,
    });
    expect(only().listedModels?.get('base')?.maxModelLen).toBe(4096);
    expect(only().metrics).toEqual({
      takenAtMs: 50,
      waiting: 2,
      running: 3,
      kvCacheUsage: 0.25,
      ttftSeconds: undefined,
      tpotSeconds: undefined,
      prefixCache: undefined,
      inFlightAtScrape: 4,
    });
    expect(scrapes).toEqual(['ok']);
  });

  it('watches endpoints that come later, and stops watching those that leave', async () => {
    const [first, second] = [await engine(), await engine()];
    await watch(first);
    store.setTargets([second.target()]);
    await probe(() => clock.advance(50));
    expect(only().health.kind).toBe('healthy');
    const asked = first.seen.length;
    await probe();
    expect(first.seen.length).toBe(asked);
  });

  it('keeps one connection and asks a healthy engine for metrics only', async () => {
    const target = await engine();
    await watch(target);
    for (let i = 0; i < 5; i++) await probe();
    expect(target.connections).toBe(1);
    expect(target.count('/metrics')).toBe(6);
    expect(target.count('/v1/models')).toBe(1);
  });

  it('lets a hanging engine delay nobody, and never asks one engine twice at once', async () => {
    const [slow, quick] = [await engine(), await engine()];
    slow.replies.set('/metrics', 'hang');
    store.setTargets([slow.target(), quick.target()]);
    await firstProbe({ timeoutMs: 60_000 });
    await until(() => slow.open === 1 && store.snapshot.readyByModel.get('m')?.length === 2);
    for (let i = 0; i < 5; i++) await probe();
    expect(quick.count('/metrics')).toBe(6);
    expect(slow.count('/metrics')).toBe(1);
    expect(slow.maxOpen).toBe(1);
  });

  it('takes inFlightAtScrape when the scrape is sent', async () => {
    const target = await engine();
    const endpoint = await watch(target);
    target.replies.set('/metrics', 'hang');
    endpoint.inFlight = 7;
    clock.advance(1000);
    await until(() => target.open === 1);
    endpoint.inFlight = 9;
    target.page(vllmPage({}));
    await probe(() => clock.advance(2000));
    expect(endpoint.metrics?.inFlightAtScrape).toBe(0);
    endpoint.inFlight = 3;
    await probe();
    expect(endpoint.metrics?.inFlightAtScrape).toBe(3);
  });

  it('marks a refused connection unhealthy at once and sees a new engine within an interval', async () => {
    const gone = await engine();
    const { port } = gone;
    const endpoint = await watch(gone);
    await gone.stop();
    await probe();
    expect(endpoint.health).toEqual({ kind: 'unhealthy', reason: 'connection refused', sinceMs: 1050 });
    expect(endpoint.metrics).toBeUndefined();
    expect(store.snapshot.readyByModel.size).toBe(0);
    expect(store.snapshot.models).toEqual(new Set(['m']));
    expect(lost).toEqual([endpoint.id]);
    engines = [];
    const back = await engine('127.0.0.1', { port });
    await probe();
    expect(endpoint.health.kind).toBe('healthy');
    expect(back.count('/v1/models')).toBe(1);
  });

  it('asks an engine that is not healthy every two seconds, however long the interval is', async () => {
    const isArmed = (ms: number) => clock.delaysMs.some((delayMs) => delayMs > ms - 200 && delayMs <= ms);
    const gone = await engine();
    const { port } = gone;
    store.setTargets([gone.target()]);
    await gone.stop();
    engines = [];
    scrape({ intervalMs: 30_000, timeoutMs: 5000 });
    await until(() => isArmed(2000));
    const back = await engine('127.0.0.1', { port });
    clock.advance(2100);
    await until(() => isArmed(30_000));
    expect(only().health.kind).toBe('healthy');
    expect(back.count('/metrics')).toBe(1);
  });

  it('marks a hanging engine unhealthy only after several timeouts', async () => {
    const target = await engine();
    const endpoint = await watch(target);
    for (const path of ['/metrics', '/health']) target.replies.set(path, 'hang');
    for (let i = 1; i <= 3; i++) {
      clock.advance(1000);
      await until(() => target.count('/metrics') === 1 + i && target.open === 1);
      if (i < 3) await probe(() => clock.advance(2000));
      else clock.advance(2000);
      expect(endpoint.health.kind).toBe('healthy');
    }
    await until(() => target.count('/health') === 2);
    await probe(() => clock.advance(2000));
    expect(endpoint.health).toMatchObject({ reason: 'no answer to GET /health within 2000 ms' });
  });

  it('keeps an engine with a hanging metrics page, without metrics, when it is well', async () => {
    const target = await engine();
    const endpoint = await watch(target, { unhealthyAfter: 1 });
    target.replies.set('/metrics', 'hang');
    for (let i = 1; i <= 3; i++) {
      clock.advance(1000);
      await until(() => target.count('/metrics') === 1 + i && target.open === 1);
      await probe(() => clock.advance(2000));
    }
    expect(endpoint.health.kind).toBe('healthy');
    expect(endpoint.metrics).toBeUndefined();
    expect(scraper?.status(endpoint)?.metricsProblem).toBe('no answer to GET /metrics within 2000 ms');
  });

  const pagesWithoutMetrics: readonly [string, number, string | Buffer, string][] = [
    ['an HTTP error', 500, 'boom', 'GET /metrics answered 500'],
    ['no such page', 404, 'Not Found', 'GET /metrics answered 404'],
    ['garbage', 200, '<html>hello\u0000}{</html>', 'GET /metrics is not a metrics page of an engine'],
    ['a page of something else', 200, 'node_load1 0.5\n', 'GET /metrics is not a metrics page of an engine'],
    ['a huge page', 200, Buffer.alloc(9 << 20, 'x'), 'GET /metrics answered too many bytes'],
  ];
  it.each(pagesWithoutMetrics)(
    'keeps an engine ready whose metrics page is %s',
    async (_name, status, body, problem) => {
      const target = await engine();
      target.page(body, status);
      const endpoint = await watch(target);
      await probe();
      expect(endpoint.health.kind).toBe('healthy');
      expect(endpoint.metrics).toBeUndefined();
      expect(scraper?.status(endpoint)).toEqual({ metricsProblem: problem, modelsProblem: undefined });
      expect(scrapes).toEqual(['bad-page', 'bad-page']);
    },
  );

  it('believes /health when it says that the engine is dead, and when it is well again', async () => {
    const target = await engine();
    target.replies.set('/health', { status: 503, body: '' });
    const endpoint = await watch(target, { modelsIntervalMs: 2500 });
    expect(endpoint.health).toMatchObject({ kind: 'unhealthy', reason: 'GET /health answered 503' });
    target.replies.set('/health', { status: 200, body: '' });
    await probe();
    expect(endpoint.health.kind).toBe('healthy');
    target.replies.set('/health', { status: 503, body: '' });
    for (let i = 0; i < 3; i++) await probe();
    expect(endpoint.health).toMatchObject({ kind: 'unhealthy', reason: 'GET /health answered 503' });
  });

  it('accepts an engine without /health by its other pages, and nothing without any', async () => {
    const target = await engine();
    target.replies.delete('/health');
    const endpoint = await watch(target);
    expect(endpoint.health.kind).toBe('healthy');
    const bare = await engine();
    bare.replies.clear();
    store.setTargets([bare.target()]);
    await probe(() => clock.advance(50));
    expect(only().health).toMatchObject({
      reason: 'no engine answers here: GET /health gives 404, GET /v1/models gives 404',
    });
    bare.page(vllmPage({ running: 1 }));
    await probe();
    expect(only().health.kind).toBe('healthy');
  });

  it('does not take a connection that was closed while idle for a dead engine', async () => {
    const target = await engine();
    const endpoint = await watch(target);
    target.closesUsedConnections = true;
    for (let i = 0; i < 3; i++) await probe();
    expect(endpoint.health.kind).toBe('healthy');
    expect(scrapes).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect(lost).toEqual([]);
  });

  it('marks an engine unhealthy that resets every connection', async () => {
    const target = await engine();
    const endpoint = await watch(target);
    for (const path of ['/metrics', '/health']) target.replies.set(path, 'reset');
    await probe();
    expect(endpoint.health).toMatchObject({ reason: 'connection closed before an answer' });
  });

  it('measures latencies between scrapes', async () => {
    const target = await engine();
    target.page(vllmPage({ ttft: { sum: 100, count: 50 } }));
    const endpoint = await watch(target);
    target.page(vllmPage({ ttft: { sum: 101, count: 54 } }));
    await probe();
    expect(endpoint.metrics?.ttftSeconds).toBe(0.25);
  });

  it('reports a restarted engine as lost and asks for its models at once', async () => {
    const target = await engine();
    target.serve('m', { id: 'adapter', parent: 'm' });
    const endpoint = await watch(target);
    target.page(vllmPage({ processStart: 2000 }));
    target.serve('m');
    await probe();
    expect(lost).toEqual([endpoint.id]);
    expect(endpoint.health.kind).toBe('healthy');
    await probe();
    expect([...store.snapshot.readyByModel.keys()]).toEqual(['m']);
    expect(lost).toEqual([endpoint.id]);
  });

  it('forgets metrics that are too old, also while a probe hangs', async () => {
    const target = await engine();
    const endpoint = await watch(target, { timeoutMs: 60_000 });
    target.replies.set('/metrics', 'hang');
    clock.advance(1000);
    await until(() => target.open === 1);
    clock.advance(3999);
    expect(endpoint.metrics).toBeDefined();
    clock.advance(1);
    expect(endpoint.metrics).toBeUndefined();
    expect(endpoint.health.kind).toBe('healthy');
  });

  it('follows the model list on its own interval and keeps it when it goes bad', async () => {
    const target = await engine();
    const endpoint = await watch(target, { modelsIntervalMs: 1500 });
    target.serve('m', { id: 'new-adapter', parent: 'm' });
    await probe();
    expect([...store.snapshot.models]).toEqual(['m']);
    await probe();
    expect([...store.snapshot.models]).toEqual(['m', 'new-adapter']);
    target.replies.set('/v1/models', { status: 500, body: 'boom' });
    for (let i = 0; i < 2; i++) await probe();
    expect([...store.snapshot.models]).toEqual(['m', 'new-adapter']);
    expect(scraper?.status(endpoint)?.modelsProblem).toBe('GET /v1/models answered 500');
    target.replies.set('/v1/models', { status: 200, body: '{"data":"none"}' });
    for (let i = 0; i < 2; i++) await probe();
    expect(scraper?.status(endpoint)?.modelsProblem).toBe('GET /v1/models is not a list of models');
    expect(endpoint.health.kind).toBe('healthy');
  });

  it('publishes no snapshot for mere metrics', async () => {
    const target = await engine();
    await watch(target);
    const { generation } = store.snapshot;
    target.page(vllmPage({ running: 9 }));
    await probe();
    expect(only().metrics?.running).toBe(9);
    expect(store.snapshot.generation).toBe(generation);
  });

  it('speaks IPv6', async () => {
    const target = await engine('::1');
    const endpoint = await watch(target);
    expect(endpoint.url).toBe(`http://[::1]:${target.port}`);
    expect(endpoint.health.kind).toBe('healthy');
  });

  it('names the host the operator wrote and sends the configured headers', async () => {
    const target = await engine();
    store.setTargets([target.target({ hostname: 'engine.test' })]);
    await firstProbe({ headers: { authorization: 'Bearer key' } });
    expect(new Set(target.seen.map(({ host }) => host))).toEqual(new Set([`engine.test:${target.port}`]));
    expect(new Set(target.seen.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer key']));
  });

  it('reports nothing after stop(), not even of a call that was under way', async () => {
    const target = await engine();
    const endpoint = await watch(target);
    target.replies.set('/metrics', 'hang');
    clock.advance(1000);
    await until(() => target.open === 1);
    scraper?.stop();
    await until(() => target.open === 0);
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(endpoint.health.kind).toBe('healthy');
    expect(scrapes).toEqual(['ok']);
    expect(scraper?.status(endpoint)).toBeUndefined();
  });

  it('reports an unreachable address without waiting for other endpoints', async () => {
    const target = await engine();
    const free = await LoopbackEngine.start();
    const nobody = free.target();
    await free.stop();
    store.setTargets([nobody, target.target()]);
    scrape();
    await until(() => store.snapshot.endpoints.every(({ health }) => health.kind !== 'unknown'));
    expect(store.snapshot.readyByModel.get('m')?.map(({ id }) => id)).toEqual([
      endpointId('127.0.0.1', target.port),
    ]);
  });
});

describe('createScraper() update()', () => {
  const hourMs = 3_600_000;

  /** Watches an engine that is asked once an hour, until its first probe is over. */
  async function watchHourly(target: LoopbackEngine): Promise<Endpoint> {
    store.setTargets([target.target()]);
    scrape({ intervalMs: hourMs });
    await until(() => clock.delaysMs.some((delayMs) => delayMs > 0.9 * hourMs && delayMs <= hourMs));
    return only();
  }

  it('to a shorter interval does not wait for the old one, and forgets nothing', async () => {
    const target = await engine();
    target.serve('m', { id: 'adapter', parent: 'm' });
    target.page(vllmPage({ ttft: { sum: 100, count: 50 }, waiting: 1 }));
    const endpoint = await watchHourly(target);
    clock.advance(hourMs / 2);
    const { generation } = store.snapshot;
    target.page(vllmPage({ ttft: { sum: 101, count: 54 }, waiting: 2 }));
    scraper?.update({ intervalMs: 1000 });
    clock.advance(499);
    expect([endpoint.metrics?.waiting, endpoint.health.kind, target.count('/metrics')]).toEqual([
      1,
      'healthy',
      1,
    ]);
    await probe(() => clock.advance(501));
    // A mean between two readings: the history is the old one.
    expect(endpoint.metrics).toMatchObject({ waiting: 2, ttftSeconds: 0.25 });
    for (let i = 0; i < 3; i++) await probe();
    expect(target.count('/metrics')).toBe(5);
    expect([...store.snapshot.readyByModel.keys()]).toEqual(['m', 'adapter']);
    expect([store.snapshot.generation, lost]).toEqual([generation, []]);
  });

  it('to a longer interval puts the next probe off', async () => {
    const target = await engine();
    const endpoint = await watch(target);
    scraper?.update({ intervalMs: hourMs });
    clock.advance(hourMs - 1000);
    expect(target.count('/metrics')).toBe(1);
    expect(endpoint.metrics).toBeDefined();
    clock.advance(1000);
    await until(() => target.count('/metrics') === 2);
  });

  it('spreads what is overdue over a second', async () => {
    const targets = [await engine(), await engine()];
    store.setTargets(targets.map((target) => target.target()));
    let chances: number[] = [];
    scraper = createScraper({ store, clock, random: () => chances.shift() ?? 0.5 }, { intervalMs: hourMs });
    scraper.start();
    clock.advance(50);
    const areWaiting = (ms: number) =>
      clock.delaysMs.filter((delayMs) => delayMs > 0.9 * ms && delayMs <= ms);
    await until(() => areWaiting(hourMs).length === 2);
    clock.advance(hourMs / 2);
    // For each endpoint the jitter of its interval, then its place within the second.
    chances = [0.5, 0.1, 0.5, 0.9];
    scraper.update({ intervalMs: hourMs / 10 });
    const asked = () => targets.map((target) => target.count('/metrics'));
    clock.advance(100);
    await until(() => asked()[0] === 2);
    clock.advance(799);
    expect(asked()).toEqual([2, 1]);
    clock.advance(1);
    await until(() => asked()[1] === 2);
  });

  it('lets a probe under way end and follows with the next', async () => {
    const target = await engine();
    await watch(target, { timeoutMs: 2000 });
    target.replies.set('/metrics', 'hang');
    clock.advance(1000);
    await until(() => target.open === 1);
    const { armed } = clock;
    scraper?.update({ intervalMs: 100, timeoutMs: 2000 });
    clock.advance(1999);
    expect([clock.armed, target.maxOpen]).toEqual([armed, 1]);
    target.page(vllmPage({}));
    await probe(() => clock.advance(1));
    for (let i = 0; i < 3; i++) await probe(() => clock.advance(100));
    expect(target.count('/metrics')).toBe(5);
  });

  it('with the same options does nothing', async () => {
    const target = await engine();
    await watch(target, { headers: { authorization: 'Bearer key' } });
    const armed = clock.delaysMs.length;
    clock.advance(400);
    scraper?.update({
      intervalMs: 1000,
      timeoutMs: 2000,
      staleAfterMs: 5000,
      insecure: false,
      headers: { authorization: 'Bearer key' },
    });
    expect(clock.delaysMs.length).toBe(armed);
    await probe(() => clock.advance(600));
    expect([target.count('/metrics'), target.connections]).toEqual([2, 1]);
  });

  const staleness: [string, number, number, number, number][] = [
    ['longer', 5000, 4000, 60_000, 60_000],
    ['shorter, not reached yet', 60_000, 2000, 5000, 7000],
    ['shorter, reached long ago', 60_000, 20_000, 5000, 25_000],
    ['shorter, the old one being over first', 60_000, 58_000, 5000, 60_000],
  ];
  it.each(staleness)(
    'takes metrics for stale by the new staleAfterMs: %s',
    async (_, beforeMs, ageMs, afterMs, vanishAtAgeMs) => {
      const target = await engine();
      const endpoint = await watch(target, { timeoutMs: 120_000, staleAfterMs: beforeMs });
      target.replies.set('/metrics', 'hang');
      clock.advance(1000);
      await until(() => target.open === 1);
      const takenAtMs = endpoint.metrics?.takenAtMs ?? Number.NaN;
      clock.advance(takenAtMs + ageMs - clock.nowMs());
      scraper?.update({ timeoutMs: 120_000, staleAfterMs: afterMs });
      clock.advance(vanishAtAgeMs - ageMs - 1);
      expect(endpoint.metrics).toBeDefined();
      clock.advance(1);
      expect(endpoint.metrics).toBeUndefined();
      expect(endpoint.health.kind).toBe('healthy');
    },
  );

  it('believes metrics of the next scrape for the new staleAfterMs', async () => {
    const target = await engine();
    const endpoint = await watch(target, { timeoutMs: 120_000, staleAfterMs: 60_000 });
    scraper?.update({ timeoutMs: 120_000, staleAfterMs: 1500 });
    await probe();
    target.replies.set('/metrics', 'hang');
    clock.advance(1499);
    expect(endpoint.metrics).toBeDefined();
    clock.advance(1);
    expect(endpoint.metrics).toBeUndefined();
  });

  it('shortens and lengthens the timeout of a call under way', async () => {
    const target = await engine();
    const endpoint = await watch(target, { timeoutMs: 60_000, unhealthyAfter: 1 });
    for (const path of ['/metrics', '/health']) target.replies.set(path, 'hang');
    clock.advance(1000);
    await until(() => target.open === 1);
    clock.advance(200);
    scraper?.update({ timeoutMs: 500, unhealthyAfter: 1 });
    clock.advance(299);
    expect(scrapes).toEqual(['ok']);
    clock.advance(1);
    await until(() => scrapes.length === 2 && target.count('/health') === 2);
    expect(scrapes).toEqual(['ok', 'timeout']);
    scraper?.update({ timeoutMs: 5000, unhealthyAfter: 1 });
    clock.advance(4999);
    expect(endpoint.health.kind).toBe('healthy');
    await probe(() => clock.advance(1));
    expect(endpoint.health).toMatchObject({ reason: 'no answer to GET /health within 5000 ms' });
  });

  it('does not let calls wait behind a connect attempt with an old, long timeout', async () => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    try {
      await once(silent, 'listening');
      const { port } = silent.address() as AddressInfo;
      const target = (await engine()).target({ id: endpointId('127.0.0.1', port), port, tls: true });
      store.setTargets([target]);
      scrape({ timeoutMs: hourMs });
      await until(() => sockets.length === 1);
      scraper?.update({ timeoutMs: 1500 });
      await probe(() => clock.advance(1500));
      clock.advance(0);
      await until(() => sockets.length === 2);
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  it('counts timeouts in a row against the new unhealthyAfter', async () => {
    const target = await engine();
    const endpoint = await watch(target, { unhealthyAfter: 9 });
    for (const path of ['/metrics', '/health']) target.replies.set(path, 'hang');
    clock.advance(1000);
    await until(() => target.open === 1);
    await probe(() => clock.advance(2000));
    scraper?.update({ unhealthyAfter: 2 });
    clock.advance(1000);
    await until(() => target.count('/metrics') === 3 && target.open === 1);
    clock.advance(2000);
    await until(() => target.count('/health') === 2);
    await probe(() => clock.advance(2000));
    expect(endpoint.health.kind).toBe('unhealthy');
  });

  it('follows another modelsIntervalMs from the last list on', async () => {
    const target = await engine();
    await watch(target);
    for (let i = 0; i < 3; i++) await probe();
    scraper?.update({ modelsIntervalMs: 3500 });
    await probe();
    expect(target.count('/v1/models')).toBe(2);
    for (let i = 0; i < 3; i++) await probe();
    expect(target.count('/v1/models')).toBe(2);
  });

  it('lets a mean latency hold for the new latencyMaxAgeMs', async () => {
    const target = await engine();
    target.page(vllmPage({ ttft: { sum: 100, count: 50 } }));
    const endpoint = await watch(target);
    target.page(vllmPage({ ttft: { sum: 101, count: 54 } }));
    await probe();
    scraper?.update({ latencyMaxAgeMs: 1500 });
    await probe();
    expect(endpoint.metrics?.ttftSeconds).toBe(0.25);
    await probe();
    expect(endpoint.metrics?.ttftSeconds).toBeUndefined();
  });

  it('sends other headers over the same connection, also to endpoints that come later', async () => {
    const [target, later] = [await engine(), await engine()];
    await watch(target, { headers: { authorization: 'Bearer old' } });
    scraper?.update({ headers: { authorization: 'Bearer new' } });
    await probe();
    expect(target.seen.at(-1)?.authorization).toBe('Bearer new');
    expect(target.connections).toBe(1);
    store.setTargets([target.target(), later.target()]);
    clock.advance(50);
    await until(() => later.seen.length > 0);
    expect(later.seen[0]?.authorization).toBe('Bearer new');
  });

  it('before start() is what start() uses, and after stop() arms nothing', async () => {
    const target = await engine();
    store.setTargets([target.target()]);
    scraper = createScraper({ store, clock, random: () => 0.5 }, { intervalMs: hourMs });
    scraper.update({ intervalMs: 1000 });
    scraper.start();
    clock.advance(50);
    await until(() => clock.armed > 1);
    scraper.stop();
    scraper.update({ intervalMs: 2000, staleAfterMs: 9000, timeoutMs: 100 });
    expect(clock.pending).toBe(0);
  });
});

describe('createScraper() with https', () => {
  const tls = makeCertificate('DNS:engine.test,IP:127.0.0.1');
  const other = makeCertificate('IP:127.0.0.1');

  it('trusts the given CA and asks for the name the operator wrote', async () => {
    const target = await engine('127.0.0.1', { tls });
    store.setTargets([target.target({ hostname: 'engine.test' })]);
    await firstProbe({ ca: tls.cert });
    expect(only().health.kind).toBe('healthy');
    expect(only().url).toBe(`https://127.0.0.1:${target.port}`);
    expect(target.seen[0]).toMatchObject({ servername: 'engine.test', host: `engine.test:${target.port}` });
  });

  const refusals: readonly [string, string, boolean, RegExp][] = [
    ['an unknown CA', 'engine.test', false, /self.signed certificate/],
    ['a certificate of another name', 'other.test', true, /other\.test/],
  ];
  it.each(refusals)('refuses %s and says so', async (_name, hostname, trusted, reason) => {
    const target = await engine('127.0.0.1', { tls });
    store.setTargets([target.target({ hostname })]);
    await firstProbe(trusted ? { ca: tls.cert } : {});
    expect(only().health).toMatchObject({ kind: 'unhealthy', reason: expect.stringMatching(reason) });
    expect(target.seen).toEqual([]);
  });

  it('update() to another CA replaces connections, with or without the right one', async () => {
    const target = await engine('127.0.0.1', { tls });
    const endpoint = await watch(target, { ca: tls.cert });
    await probe();
    expect([endpoint.health.kind, target.connections]).toEqual(['healthy', 1]);
    scraper?.update({ ca: other.cert });
    await probe();
    expect(endpoint.health).toMatchObject({
      kind: 'unhealthy',
      reason: expect.stringMatching(/self.signed/),
    });
    scraper?.update({ ca: other.cert, insecure: true });
    await probe();
    expect([endpoint.health.kind, target.connections]).toEqual(['healthy', 3]);
    scraper?.update({ ca: `${other.cert}${tls.cert}` });
    await probe();
    expect([endpoint.health.kind, target.connections]).toEqual(['healthy', 4]);
    expect(target.open).toBe(0);
  });

  it('update() to another CA lets a call under way end, and no other use its connection', async () => {
    const target = await engine('127.0.0.1', { tls });
    await watch(target, { ca: tls.cert });
    target.replies.set('/metrics', 'hang');
    clock.advance(1000);
    await until(() => target.open === 1);
    scraper?.update({ ca: other.cert });
    clock.advance(1999);
    expect([target.open, only().health.kind]).toEqual([1, 'healthy']);
    await probe(() => clock.advance(1));
    await until(() => target.open === 0);
    target.page(vllmPage({}));
    await probe();
    expect(scrapes).toEqual(['ok', 'timeout', 'unreachable']);
    expect(only().health).toMatchObject({ reason: expect.stringMatching(/self.signed/) });
  });

  it('accepts any certificate when told to', async () => {
    const target = await engine('127.0.0.1', { tls });
    await watch(target, { insecure: true });
    expect(only().health.kind).toBe('healthy');
  });
});
