/** `sluice serve --config-map` with a real API server, as somebody who may read this one ConfigMap and nothing else. */
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { startSluice, type Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { createAdmin, type Admin } from './support/admin.ts';
import { startApiServer, type ApiServer } from './support/api-server.ts';
import { allowConfigMap } from './support/rights.ts';

/** What takes longer is broken. */
jest.setTimeout(120_000);

const namespace = 'inference';
const maps = `/api/v1/namespaces/${namespace}/configmaps`;
const source = 'ConfigMap inference/sluice';

let server: ApiServer;
let admin: Admin;
let kubeconfig: string;
let sluice: Child | undefined;

beforeAll(async () => {
  server = await startApiServer();
  admin = createAdmin(server);
  kubeconfig = await server.kubeconfig('reader');
  await admin.namespace(namespace);
  await allowConfigMap(admin, namespace, 'sluice', 'reader');
});

afterEach(async () => {
  await sluice?.end();
  sluice = undefined;
  await admin.remove(`${maps}/sluice`).catch(() => undefined);
});

afterAll(async () => {
  await admin.close();
  await server.stop();
});

/** A configuration that can be told from others by the level of its log. */
function texts(level: string): Readonly<Record<string, string>> {
  const text = [
    `log: { level: ${level}, format: json }`,
    'admin: { port: 0 }',
    "discovery: { static: { backends: [{ url: 'http://127.0.0.1:9' }] } }",
  ].join('\n');
  return { 'sluice.yaml': text };
}

function create(data: Readonly<Record<string, string>>): Promise<void> {
  return admin.create(maps, { metadata: { name: 'sluice' }, data });
}

/** Runs it; `name` is what `--config-map` says. */
function serve(name = 'inference/sluice'): Child {
  sluice = startSluice(
    ['serve', '--config-map', name, '--grpc-listen', '127.0.0.1:0', '--log-format', 'json'],
    { KUBECONFIG: kubeconfig },
  );
  return sluice;
}

/** One that serves, and how its admin pages are read. */
async function serving() {
  const child = serve();
  const line = await child.line(/admin pages at/);
  const { admin: adminUrl } = JSON.parse(line) as { admin: string };
  const page = async (path: string): Promise<unknown> => (await fetch(`${adminUrl}${path}`)).json();
  return {
    child,
    config: () => page('/debug/config'),
    becomes: async (level: string) => {
      await eventually(async () => {
        const { effective } = (await page('/debug/config')) as { effective: { log: { level: string } } };
        return effective.log.level === level;
      }, 30_000);
    },
  };
}

/** What the log said of the ConfigMap, each with its level. */
function said({ lines }: Child, pattern: RegExp): string[] {
  return lines
    .map((line) => JSON.parse(line) as { level: string; msg: string })
    .filter(({ msg }) => pattern.test(msg))
    .map(({ level, msg }) => `${level}: ${msg}`);
}

describe('sluice serve --config-map', () => {
  it('starts with what the ConfigMap says, and follows it', async () => {
    await create(texts('info'));
    const { child, config, becomes } = await serving();
    expect(await config()).toMatchObject({
      file: `${source}/sluice.yaml`,
      form: `Sluice configuration, key sluice.yaml of ${source}`,
      refused: [],
    });
    await admin.patch(`${maps}/sluice`, { data: texts('debug') });
    await becomes('debug');
    await admin.patch(`${maps}/sluice`, { data: { 'sluice.yaml': 'log: { level: loud }' } });
    await child.line(/The new configuration is refused, the old one stays/);
    expect(await config()).toMatchObject({
      lastReloadSuccessful: false,
      refused: [
        expect.stringMatching(
          /^ConfigMap inference\/sluice\/sluice\.yaml:1:15: log\.level: "loud" is not one of/,
        ),
      ],
      effective: { log: { level: 'debug' } },
    });
    child.kill('SIGTERM');
    expect(await child.exited).toEqual({ code: 0, signal: null });
  });

  it('keeps the last good configuration while there is no such ConfigMap any more', async () => {
    await create(texts('info'));
    const { child, config, becomes } = await serving();
    await admin.remove(`${maps}/sluice`);
    await child.line(/ConfigMap inference\/sluice.{1,2} was deleted: create it again/);
    expect(await config()).toMatchObject({
      lastReloadSuccessful: false,
      effective: { log: { level: 'info' } },
    });
    await create(texts('warn'));
    await becomes('warn');
    expect(said(child, /was deleted/)).toHaveLength(1);
  });

  it('keeps it while the API server is down, warns once, and takes what was changed meanwhile', async () => {
    await create(texts('info'));
    const { child, config, becomes } = await serving();
    await server.kill();
    await child.line(/The configuration stays as it is/);
    expect(await config()).toMatchObject({
      lastReloadSuccessful: true,
      effective: { log: { level: 'info' } },
    });
    await server.restart();
    await admin.patch(`${maps}/sluice`, { data: texts('debug') });
    await becomes('debug');
    await child.line(/can be read again/);
    expect(said(child, /cannot be read|can be read/).filter((line) => !line.includes('still'))).toEqual([
      expect.stringMatching(
        /^warn: The configuration stays as it is, ConfigMap inference\/sluice cannot be read: Cannot (list|watch) configmaps "sluice" in namespace "inference": the API server https:\S+ does not answer/,
      ),
      `info: ${source} can be read again`,
    ]);
  });

  it('waits for an API server that is down, and says so', async () => {
    await create(texts('debug'));
    await server.kill();
    const child = serve();
    await child.line(/Waiting for ConfigMap inference\/sluice: Cannot list configmaps .{1,2}sluice/);
    await server.restart();
    await child.line(/admin pages at/);
  });

  it('ends in peace at a signal while it waits', async () => {
    const child = serve('inference/other');
    await child.line(
      /Waiting for ConfigMap inference\/other: Cannot list configmaps .{1,2}other.{1,2} in namespace .{1,2}inference.{1,2}: forbidden/,
    );
    child.kill('SIGTERM');
    expect(await child.exited).toEqual({ code: 0, signal: null });
    expect(child.stderr).toBe('');
  });

  it.each<[string, Readonly<Record<string, string>> | undefined, string]>([
    [
      'there is no such ConfigMap',
      undefined,
      `Cannot read the configuration from "${source}": there is none of this name; create it with the configuration under the key sluice.yaml`,
    ],
    [
      'no key holds a configuration',
      { 'router.yaml': '{}' },
      `${source}: holds "router.yaml"; needed is routerConfiguration, gatewayConfiguration, schedulerConfiguration or sluice.yaml`,
    ],
    [
      'the configuration has a fault',
      { 'sluice.yaml': 'log:\n  level: loud' },
      `${source}/sluice.yaml:2:10: log.level: "loud" is not one of`,
    ],
  ])('ends with 1 where %s', async (_, data, message) => {
    if (data !== undefined) await create(data);
    const child = serve();
    expect(await child.exited).toEqual({ code: 1, signal: null });
    expect(child.stderr).toContain(message);
  });
});
