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
function read(...args: readonly string[]) {
  const command = addAppOptions(new Command('test'))
    .exitOverride()
    .configureOutput({ writeErr: () => undefined });
  command.parse(args, { from: 'user' });
  return readAppOptions(command.opts<AppFlags & Record<string, unknown>>(), {}).loaded;
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
  it('has defaults for everything but engines', () => {
    const { config } = read();
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

  it('reads the file', () => {
    const { config } = read('--config', configFile(everything));
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

  it('lays flags over the file, one by one', () => {
    const file = configFile(everything);
    expect(read('--config', file, '--admin-port', '0').config.admin).toEqual({ host: '0.0.0.0', port: 0 });
    expect(read('--config', file, '--admin-host', '::1').config.admin).toEqual({ host: '::1', port: 1234 });
    expect(read('--config', file, '--log-level', 'debug').config.log).toEqual({
      level: 'debug',
      format: 'json',
      output: 'stdout',
      access: false,
      subjects: 'hashed',
    });
    expect(read('--config', file, '--log-format', 'pretty').config.log.format).toBe('pretty');
  });

  it('takes engines from flags in place of those of the file', () => {
    const file = configFile(everything);
    const { config } = read(
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
    [['--service-discovery', 'magic'], 'Allowed choices are static'],
  ])('refuses %j', (args, message) => {
    expect(() => read(...args)).toThrow(message);
  });

  it('refuses a file with a mistake, by its name', () => {
    const file = configFile('admin: { prot: 1 }');
    expect(() => read('--config', file)).toThrow(file);
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
