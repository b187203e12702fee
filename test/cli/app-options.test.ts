import { afterEach, describe, expect, it } from '@jest/globals';
import { Command } from 'commander';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { addAppOptions, parsePort, readAppOptions, type AppFlags } from '../../src/cli/app-options.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** What a command line comes to. */
async function read(...args: readonly string[]) {
  const command = addAppOptions(new Command('test'))
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  command.parse(args, { from: 'user' });
  const flags = command.opts<AppFlags & Record<string, unknown>>();
  return (await readAppOptions(flags, {}, new AbortController().signal)).loaded;
}

function configFile(yaml: string): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'sluice-test-'));
  folders.push(folder);
  const file = path.join(folder, 'sluice.yaml');
  writeFileSync(file, yaml);
  return file;
}

const everything = `
admin: { host: 0.0.0.0, port: 1234 }
log: { level: warn, format: json, access: false }
discovery: { static: { backends: [{ url: 'http://10.0.0.9:1', models: [x, y] }] } }
`;

describe('readAppOptions()', () => {
  it('has defaults for everything but engines', async () => {
    const { config } = await read();
    expect(config.discovery.static.backends).toEqual([]);
    expect(config.admin).toEqual({ host: '127.0.0.1', port: 9090 });
    expect(config.log).toEqual({
      level: 'info',
      format: 'auto',
      output: 'stdout',
      access: true,
      subjects: 'hashed',
    });
  });

  it('reads the file', async () => {
    const { config } = await read('--config', configFile(everything));
    expect(config.admin).toEqual({ host: '0.0.0.0', port: 1234 });
    expect(config.log).toEqual({
      level: 'warn',
      format: 'json',
      output: 'stdout',
      access: false,
      subjects: 'hashed',
    });
    expect(config.discovery.static.backends).toEqual([{ url: 'http://10.0.0.9:1', models: ['x', 'y'] }]);
  });

  it('lays flags over the file, one by one', async () => {
    const file = configFile(everything);
    const withFlags = async (...args: readonly string[]) => (await read('--config', file, ...args)).config;
    expect((await withFlags('--admin-port', '0')).admin).toEqual({ host: '0.0.0.0', port: 0 });
    expect((await withFlags('--admin-host', '::1')).admin).toEqual({ host: '::1', port: 1234 });
    expect((await withFlags('--log-level', 'debug')).log).toEqual({
      level: 'debug',
      format: 'json',
      output: 'stdout',
      access: false,
      subjects: 'hashed',
    });
    expect((await withFlags('--log-format', 'pretty')).log.format).toBe('pretty');
  });

  it('takes engines from flags in place of those of the file', async () => {
    const file = configFile(everything);
    const { config } = await read(
      ...[
        '--config',
        file,
        '--static-backends',
        'http://a:1,https://b,http://[::1]:2',
        '--static-models',
        'm,n,m',
      ],
    );
    expect(config.discovery.static.backends).toEqual([
      { url: 'http://a:1', models: ['m'] },
      { url: 'https://b:443', models: ['n'] },
      { url: 'http://[::1]:2', models: ['m'] },
    ]);
  });

  it.each([
    [['--static-models', 'm'], 'Cannot use --static-models without --static-backends'],
    [['--static-backends', 'a:1'], 'Cannot use backend "a:1"'],
    [['--config', '/no/such/file.yaml'], 'Cannot read configuration "/no/such/file.yaml"'],
    [['--admin-port', '65536'], 'a port is a number from 0 to 65535'],
    [['--log-level', 'loud'], 'Allowed choices are trace, debug, info'],
    [['--log-format', 'xml'], 'Allowed choices are auto, json, pretty'],
    [['--service-discovery', 'magic'], 'Allowed choices are static, k8s'],
    [
      ['--config', 'a', '--config-map', 'b'],
      "option '--config-map <name>' cannot be used with option '--config",
    ],
  ])('refuses %j', async (args, message) => {
    await expect(read(...args)).rejects.toThrow(message);
  });

  it('refuses a file with a mistake, by its name', async () => {
    const file = configFile('admin: { prot: 1 }');
    await expect(read('--config', file)).rejects.toThrow(file);
  });

  it('takes the discovery of the file where no flag says another one', async () => {
    const inKubernetes = configFile('discovery: { kubernetes: { services: [{ name: engines }] } }');
    expect((await read('--config', inKubernetes)).config.discovery.type).toBe('kubernetes');
    expect((await read('--config', configFile(everything))).config.discovery.type).toBe('static');
  });

  it.each([
    [
      'a section of Kubernetes beside --service-discovery static',
      'discovery: { kubernetes: { pods: [{}] } }',
      ['--service-discovery', 'static'],
      'command line: discovery.type: "static" stands beside the section discovery.kubernetes: keep one of the two',
    ],
    [
      'a section of Kubernetes beside listed engines',
      'discovery: { kubernetes: { pods: [{}] } }',
      ['--static-backends', 'http://a:1'],
      'command line: discovery.static.backends: lists engines, and discovery.kubernetes or --service-discovery k8s finds others',
    ],
    [
      'listed engines beside --service-discovery k8s',
      everything,
      ['--service-discovery', 'k8s'],
      'sluice.yaml:4:34: discovery.static.backends: lists engines, and discovery.kubernetes or --service-discovery k8s finds others: keep one of the two',
    ],
    [
      'a namespace that there cannot be',
      '{}',
      ['--service-discovery', 'k8s', '--k8s-namespace', 'a,Team A'],
      'command line: discovery.kubernetes.pods[0].namespaces[1]: "Team A" is not the name of a namespace',
    ],
    [
      'a port that there cannot be',
      '{}',
      ['--service-discovery', 'k8s', '--k8s-port', '0'],
      'command line: discovery.kubernetes.pods[0].port: 0 is too small: the least is 1',
    ],
  ])('refuses %s', async (_, yaml, args, message) => {
    await expect(read('--config', configFile(yaml), ...args)).rejects.toThrow(message);
  });

  it('says what it needs where a ConfigMap is asked for and no API server is known', async () => {
    const flags: AppFlags = { configMap: 'inference/sluice' };
    const nowhere = { KUBECONFIG: '/no/such/kubeconfig' };
    await expect(readAppOptions(flags, nowhere, new AbortController().signal)).rejects.toThrow(
      'Cannot use the kubeconfig "/no/such/kubeconfig"',
    );
  });
});

describe('parsePort()', () => {
  it.each([
    ['0', 0],
    ['8001', 8001],
    ['65535', 65535],
  ])('reads %s', (text, port) => {
    expect(parsePort(text)).toBe(port);
  });

  it.each(['', '-1', '65536', '1.5', '0x10', '1e3', ' 1', 'http'])('refuses "%s"', (text) => {
    expect(() => parsePort(text)).toThrow('a port is a number from 0 to 65535');
  });
});
