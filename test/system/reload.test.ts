import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { chat, chatBody, longPrompt } from '../support/chat.ts';
import { eventually } from '../support/eventually.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { sample } from '../support/pages.ts';
import { exchangeOf } from '../support/refusals.ts';

interface ConfigPage {
  readonly lastReloadSuccessful: boolean;
  readonly refused: readonly string[];
  readonly waiting: readonly string[];
}

interface DecisionsPage {
  readonly decisions: readonly { readonly scorers: readonly { readonly name: string }[] }[];
}

const scorers = (...names: readonly string[]): string =>
  `scheduler: { plugins: { Score: { enabled: [${names.map((name) => `{ name: ${name}, weight: 1 }`).join(', ')}] } } }`;

let folder: string;
let file: string;
let engines: SimulatedEngine[];
let gateway: Gateway | undefined;

beforeAll(async () => {
  engines = await Promise.all([0, 1, 2].map((seed) => startSimulatedEngine({ model: 'm', speed: 50, seed })));
});
afterAll(() => Promise.all(engines.map((engine) => engine.stop())));

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
  file = path.join(folder, 'sluice.yaml');
});
afterEach(async () => {
  await gateway?.stop();
  gateway = undefined;
  await rm(folder, { recursive: true });
});

async function start(content: string, configFile = file): Promise<Gateway> {
  if (configFile === file) await writeFile(file, content);
  gateway = await startGateway({ backends: engines.map(({ url }) => url), configFile });
  return gateway;
}

/** Names of the scorers that the newest decision was made with. */
async function scorersOfNextDecision(): Promise<readonly string[]> {
  const reply = await gateway!.post('/v1/chat/completions', chatBody());
  expect(reply.status).toBe(200);
  await reply.arrayBuffer();
  const { decisions } = (await gateway!.admin('/debug/decisions?limit=1')) as DecisionsPage;
  return decisions[0]!.scorers.map(({ name }) => name);
}

/** How often Sluice has told of a new configuration, good or bad. */
const attempts = (): number =>
  gateway!.lines.filter(({ msg }) => msg.startsWith('The new configuration ')).length;

/** Brings about a new configuration, in one step, and waits until Sluice has told of it. */
async function change(how: () => Promise<void>): Promise<ConfigPage> {
  const before = attempts();
  await how();
  await eventually(() => attempts() > before);
  return (await gateway!.admin('/debug/config')) as ConfigPage;
}

/** An editor's way: never a file that is half written. */
async function replaceFile(content: string): Promise<void> {
  await writeFile(`${file}.new`, content);
  await rename(`${file}.new`, file);
}

const edit = (content: string): Promise<ConfigPage> => change(() => replaceFile(content));

describe('an edited configuration file', () => {
  it('changes the next decision', async () => {
    await start(scorers('least-request'));
    expect(await scorersOfNextDecision()).toEqual(['least-request']);
    await edit(scorers('kv-cache', 'prefix-cache'));
    expect(await scorersOfNextDecision()).toEqual(['kv-cache', 'prefix-cache']);
  });

  it('changes nothing where it is wrong, and says so on every page until it is right', async () => {
    await start(scorers('least-request'));
    const page = await edit(scorers('least-requets').replace('weight: 1', 'weight: -1'));
    expect(page.refused).toEqual([
      expect.stringContaining('there is no scorer "least-requets"; did you mean "least-request"?'),
      expect.stringContaining('-1 is not a number of 0 or more'),
    ]);
    expect(page.refused.every((fault) => fault.startsWith(`${file}:1:`))).toBe(true);
    expect(await gateway!.admin('/health')).toMatchObject({
      status: 'healthy',
      config: { file, lastReloadSuccessful: false, refused: page.refused },
    });
    expect(await sample(gateway!, 'sluice_config_last_reload_successful')).toBe(0);
    const lines = gateway!.lines.filter(({ level, msg }) => level === 'error' && msg.includes('refused'));
    expect(lines).toHaveLength(1);
    expect(await scorersOfNextDecision()).toEqual(['least-request']);

    expect(await edit(scorers('kv-cache'))).toMatchObject({ lastReloadSuccessful: true, refused: [] });
    expect(await sample(gateway!, 'sluice_config_last_reload_successful')).toBe(1);
    expect(await scorersOfNextDecision()).toEqual(['kv-cache']);
  });

  it.each([
    ['emptied', '', 'is empty'],
    ['cut off', 'scheduler: { plugins: ', ''],
  ])('changes nothing when it is %s', async (_, content, fault) => {
    await start(scorers('least-request'));
    const page = await edit(content);
    expect(page.lastReloadSuccessful).toBe(false);
    expect(page.refused).toEqual([expect.stringContaining(fault)]);
    expect(await scorersOfNextDecision()).toEqual(['least-request']);
  });

  it('changes nothing when it is gone', async () => {
    await start(scorers('least-request'));
    const page = await change(() => rm(file));
    expect(page.refused).toEqual([expect.stringContaining(`Cannot read configuration "${file}"`)]);
    expect(await scorersOfNextDecision()).toEqual(['least-request']);
  });

  it('names what waits for a restart, and applies the rest', async () => {
    await start('');
    const content = `${scorers('kv-cache')}\nenvoy: { retries: 5 }\nlimits: { maxBodyBytes: 1KiB }`;
    const { waiting } = await edit(content);
    expect([...waiting].sort()).toEqual(['envoy.retries', 'limits.maxBodyBytes']);
    expect(await scorersOfNextDecision()).toEqual(['kv-cache']);
    await gateway!.line(({ msg }) =>
      msg.startsWith(
        'The new configuration is in effect, except for limits.maxBodyBytes, envoy.retries: they need a restart',
      ),
    );
  });

  it('lets repeated prompts stay with their engine', async () => {
    await start(scorers('prefix-cache'));
    const prompt = longPrompt('home');
    const home = async (): Promise<unknown> => {
      const reply = await chat(gateway!, { prompt });
      return (await exchangeOf(gateway!, reply))['servedBy'];
    };
    const first = await home();
    await edit(scorers('prefix-cache', 'kv-cache'));
    for (let i = 0; i < 5; i++) expect(await home()).toBe(first);
  });
});

describe('a mounted ConfigMap', () => {
  it('changes the next decision when its volume is swapped', async () => {
    const mount = path.join(folder, 'mount');
    for (const [version, content] of [
      ['..v1', scorers('least-request')],
      ['..v2', scorers('kv-cache')],
    ] as const) {
      await mkdir(path.join(mount, version), { recursive: true });
      await writeFile(path.join(mount, version, 'routerConfiguration'), content);
    }
    await symlink('..v1', path.join(mount, '..data'));
    await symlink('..data/routerConfiguration', path.join(mount, 'routerConfiguration'));
    await start('', mount);
    expect(await scorersOfNextDecision()).toEqual(['least-request']);
    await change(async () => {
      await symlink('..v2', path.join(mount, '..data_tmp'));
      await rename(path.join(mount, '..data_tmp'), path.join(mount, '..data'));
    });
    expect(await scorersOfNextDecision()).toEqual(['kv-cache']);
  });
});

describe('reloads under load', () => {
  it('fail no request, and leave nothing in flight', async () => {
    await start(scorers('least-request'));
    const statuses = new Map<number, number>();
    let over = false;
    const client = async (n: number): Promise<void> => {
      for (let i = 0; !over; i++) {
        const stream = (n + i) % 2 === 0;
        const reply = await gateway!.post('/v1/chat/completions', chatBody({ stream, tokens: 5 }));
        await reply.arrayBuffer();
        statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
      }
    };
    const clients = Promise.all(Array.from({ length: 8 }, (_, n) => client(n)));
    const contents = [
      scorers('kv-cache', 'prefix-cache'),
      'nonsense',
      `${scorers('prefix-cache')}\nscrape: { interval: 500ms, staleAfter: 4s }`,
      'models: { aliases: { n: m } }',
    ];
    for (let i = 0; i < 40; i++) {
      await replaceFile(contents[i % contents.length]!);
      await gateway!.app.reload();
    }
    over = true;
    await clients;
    expect([...statuses.keys()]).toEqual([200]);
    await eventually(async () => (await gateway!.inFlight()) === 0);
    expect(await readFile(file, 'utf8')).toBe(contents[3]);
  });
});
