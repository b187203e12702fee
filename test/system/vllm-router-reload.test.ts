import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { SimulatedEngine } from '../../src/engine-sim/server.ts';
import { startVllmRouter } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import {
  ask,
  metric,
  startEngines,
  startRouterProcess,
  untilAllServe,
  urls,
  whoServes,
  type VllmRouter,
} from '../support/vllm-router.ts';

let folder: string;
let file: string;
let engines: SimulatedEngine[];
let router: VllmRouter | undefined;

beforeAll(async () => {
  engines = await startEngines(['m', 'm', 'm']);
});
afterAll(() => Promise.all(engines.map((engine) => engine.stop())));

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
  file = path.join(folder, 'dynamic.json');
});
afterEach(async () => {
  await router?.stop();
  router = undefined;
  await rm(folder, { recursive: true });
});

/** Never a file that is half written. */
async function replaceFile(content: string): Promise<void> {
  await writeFile(`${file}.new`, content);
  await rename(`${file}.new`, file);
}

interface Health {
  readonly status: string;
  readonly dynamic_config: Readonly<Record<string, unknown>>;
}

interface AdminHealth extends Health {
  readonly config: { readonly lastReloadSuccessful: boolean; readonly refused: readonly string[] };
}

const health = async (): Promise<Health> => (await (await fetch(`${router!.url}/health`)).json()) as Health;
const admin = async (page: string): Promise<unknown> => (await fetch(`${router!.adminUrl}${page}`)).json();

async function start(content: string, ...args: readonly string[]): Promise<VllmRouter> {
  await writeFile(file, content);
  const option = file.endsWith('.json') ? '--dynamic-config-json' : '--dynamic-config-yaml';
  router = await startRouterProcess([option, file, ...args]);
  return router;
}

/** Brings in new content and waits until Sluice has said what became of it. */
async function edit(content: string): Promise<string> {
  const { lines } = router!.child;
  const from = lines.length;
  const told = (): string | undefined =>
    lines.slice(from).find((line) => line.includes('The new configuration'));
  await replaceFile(content);
  await eventually(() => told() !== undefined);
  return told()!;
}

/** How many requests for completions came to each engine. */
const counts = (): number[] =>
  engines.map(
    (engine) => engine.requests().filter(({ path: asked }) => asked.includes('completions')).length,
  );

const staticConfig = (some: readonly SimulatedEngine[], more: object = {}): string =>
  JSON.stringify({
    service_discovery: 'static',
    routing_logic: 'roundrobin',
    static_backends: urls(some),
    static_models: some.map(() => 'm').join(','),
    ...more,
  });

describe('--dynamic-config-json', () => {
  it('is what /health shows, to clients and to operators', async () => {
    await start(staticConfig(engines));
    await untilAllServe(router!, engines);
    const { status, dynamic_config: shown } = await health();
    expect(status).toBe('healthy');
    expect(Object.entries(shown)).toEqual([
      ['callbacks', null],
      ['decode_model_labels', null],
      ['k8s_label_selector', null],
      ['k8s_namespace', null],
      ['k8s_port', null],
      ['prefill_model_labels', null],
      ['routing_logic', 'roundrobin'],
      ['service_discovery', 'static'],
      ['session_key', null],
      ['static_aliases', null],
      ['static_backend_health_check_interval', null],
      ['static_backend_health_check_timeout_seconds', null],
      ['static_backend_health_checks', null],
      ['static_backends', urls(engines)],
      ['static_model_labels', null],
      ['static_model_types', null],
      ['static_models', 'm,m,m'],
    ]);
    expect(await admin('/health')).toMatchObject({ status: 'healthy', dynamic_config: shown });
  });

  it('moves requests to the engines that it names, and forgets the others', async () => {
    const [a, b, c] = engines as [SimulatedEngine, SimulatedEngine, SimulatedEngine];
    await start(staticConfig([a, b]));
    await untilAllServe(router!, [a, b]);
    const servers = async (name: string): Promise<string[]> =>
      Object.keys(await metric(router!, name)).map((labels) => /server="([^"]*)"/.exec(labels)![1]!);
    expect(new Set(await servers('vllm:current_qps'))).toEqual(new Set([a.url, b.url]));
    expect(await edit(staticConfig([b, c]))).toContain('is in effect');
    expect((await health()).dynamic_config).toMatchObject({ static_backends: urls([b, c]) });
    await untilAllServe(router!, [b, c]);
    const before = counts();
    for (let i = 0; i < 10; i++) expect((await ask(router!)).status).toBe(200);
    expect(counts().map((count, i) => count - before[i]!)).toEqual([0, 5, 5]);
    for (const name of [
      'current_qps',
      'healthy_pods_total',
      'input_tokens_total',
      'request_latency_seconds_count',
    ])
      expect(new Set(await servers(`vllm:${name}`))).toEqual(new Set([b.url, c.url]));
  });

  it('changes nothing at all where it is wrong, says so, and is taken once it is right', async () => {
    const [a, b, c] = engines as [SimulatedEngine, SimulatedEngine, SimulatedEngine];
    const good = staticConfig([a, b]);
    await start(good);
    await untilAllServe(router!, [a, b]);
    const shown = await health();
    for (const [content, words] of [
      [good.slice(0, -20), /must end with a }|Missing closing/],
      [staticConfig([c], { routing_logik: 'session' }), /no field "routing_logik".*did you mean/],
      [JSON.stringify({ service_discovery: 'static', static_backends: c.url }), /routing_logic.*is missing/],
      [staticConfig([c], { static_models: 'm,m' }), /2 models for 1 backend/],
      [
        staticConfig([c], { routing_logic: 'round-robin' }),
        /"round-robin" is not one of .*did you mean "roundrobin"/,
      ],
      [staticConfig([c], { routing_logic: 'session' }), /session_key.*is missing/],
      ['', /is empty/],
    ] as const) {
      const line = await edit(content);
      expect(line).toContain('The new configuration is refused, the old one stays');
      expect(line).toContain(file);
      expect(line).toMatch(words);
      expect(await health()).toEqual(shown);
      const page = (await admin('/health')) as AdminHealth;
      expect(page.dynamic_config).toEqual(shown.dynamic_config);
      expect(page.config.lastReloadSuccessful).toBe(false);
      expect(page.config.refused.join('\n')).toMatch(words);
      const before = counts();
      for (let i = 0; i < 4; i++) expect((await ask(router!)).status).toBe(200);
      expect(counts().map((count, i) => count - before[i]!)).toEqual([2, 2, 0]);
    }
    expect(await edit(staticConfig([c]))).toContain('is in effect');
    expect(((await admin('/health')) as AdminHealth).config.refused).toEqual([]);
    await untilAllServe(router!, [c]);
    const [, , atC] = counts();
    expect((await ask(router!)).status).toBe(200);
    expect(counts()[2]).toBe(atC! + 1);
  }, 20_000);

  it('leaves turns as they are where the engines are the same', async () => {
    await start(staticConfig(engines));
    await untilAllServe(router!, engines);
    const served: number[] = [];
    for (let i = 0; i < 4; i++) {
      served.push(await whoServes(router!, engines));
      expect(await edit(staticConfig(engines, { session_key: `x-${i}` }))).toContain('is in effect');
    }
    expect(new Set(served.slice(0, 3)).size).toBe(3);
    expect(served[3]).toBe(served[0]);
  });

  it('leaves what it does not speak of to the command line', async () => {
    await start(
      staticConfig(engines),
      ...['--max-instance-failover-reroute-attempts', '1', '--prefix-min-match-length', '100'],
      ...['--request-stats-window', '42', '--engine-stats-interval', '3', '--static-aliases', 'n:m'],
    );
    const kept = async (): Promise<unknown> => {
      const { effective } = (await admin('/debug/config')) as { effective: Record<string, object> };
      const { scheduler, envoy, stats, scrape } = effective;
      return { scheduler, envoy, stats, scrape };
    };
    const expected = {
      scheduler: { maxEndpoints: 2 },
      envoy: { retries: 1 },
      stats: { window: '42s' },
      scrape: { interval: '3s' },
    };
    expect(await kept()).toMatchObject(expected);
    expect(await edit(staticConfig(engines, { routing_logic: 'prefixaware' }))).toMatch(/is in effect$/);
    expect(await kept()).toMatchObject({
      ...expected,
      scheduler: {
        maxEndpoints: 2,
        pluginConfig: expect.arrayContaining([
          { name: 'prefix-cache', args: expect.objectContaining({ minMatchBytes: 100 }) },
        ]),
      },
    });
    expect(await edit(staticConfig(engines))).toMatch(/is in effect$/);
    expect(await kept()).toMatchObject(expected);
    await eventually(async () => (await ask(router!, { model: 'n' })).status === 200);
    const { decisions } = (await admin('/debug/decisions?limit=1')) as { decisions: { ranked: unknown[] }[] };
    expect(decisions[0]!.ranked).toHaveLength(2);
  });
});

describe('--dynamic-config-yaml', () => {
  const byModel = (some: readonly SimulatedEngine[]): string => `
service_discovery: static
routing_logic: roundrobin
static_models:
  m:
    static_backends:
${some.map(({ url }) => `      - ${url}`).join('\n')}
    static_model_type: chat
`;

  it('is followed too', async () => {
    const [a, b, c] = engines as [SimulatedEngine, SimulatedEngine, SimulatedEngine];
    file = path.join(folder, 'dynamic.yaml');
    await start(byModel([a]));
    await untilAllServe(router!, [a]);
    expect(await health()).toMatchObject({
      status: 'healthy',
      dynamic_config: { service_discovery: 'static', routing_logic: 'roundrobin', session_key: null },
    });
    expect(await edit(byModel([b, c]))).toContain('is in effect');
    await untilAllServe(router!, [b, c]);
    expect(await edit(byModel([a]).replace('roundrobin', 'robin'))).toMatch(/"robin" is not one of/);
    const before = counts();
    for (let i = 0; i < 4; i++) expect((await ask(router!)).status).toBe(200);
    expect(counts().map((count, i) => count - before[i]!)).toEqual([0, 2, 2]);
  });
});

describe('a vllm-router that cannot start', () => {
  it.each([
    ['without its file', undefined, /^vllm-router: Cannot read configuration ".*dynamic.json": /],
    ['with half a file', '{"service_discovery": "static",', /^vllm-router: .*dynamic.json/],
    [
      'with a routing logic that there is not',
      '{"service_discovery":"static","routing_logic":"sesion","static_backends":"http://127.0.0.1:1"}',
      /"sesion" is not one of .*did you mean "session"/,
    ],
  ])('says why and exits, %s', async (_, content, words) => {
    if (content !== undefined) await writeFile(file, content);
    const child = startVllmRouter(['--port', '0', '--dynamic-config-json', file]);
    try {
      expect(await child.exited).toEqual({ code: 1, signal: null });
      expect(child.stderr).toMatch(words);
      expect(child.stderr).not.toMatch(/^ {4}at /m);
      expect(child.lines).toEqual([]);
    } finally {
      await child.end();
    }
  });
});
