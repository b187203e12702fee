import { afterEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  readConfigMap,
  type ConfigMapListener,
  type ConfigMapOptions,
  type ConfigMapSource,
} from '../../src/cli/config-map.ts';
import { parseConfigMap } from '../../src/config/load.ts';
import { createLogger } from '../../src/observability/log.ts';
import { startSluice, type Child } from '../support/child.ts';
import { freePort } from '../support/free-port.ts';

/** A ConfigMap of which the test says what is known. */
function fakeConfigMap() {
  const followers: ConfigMapListener[] = [];
  const source: ConfigMapSource = {
    name: 'ConfigMap inference/sluice',
    follow(listener) {
      followers.push(listener);
      return () => void followers.splice(followers.indexOf(listener), 1);
    },
  };
  return {
    source,
    followers,
    tell(texts: Readonly<Record<string, string>> | undefined) {
      for (const { onTexts } of [...followers]) onTexts(texts);
    },
    problem(problem: string | undefined) {
      for (const { onProblem } of [...followers]) onProblem(problem);
    },
  };
}

type FakeConfigMap = ReturnType<typeof fakeConfigMap>;

/** Begins to read it; `lines` is what the log says, before there is a configuration and after. */
function read({ source }: FakeConfigMap, signal = new AbortController().signal) {
  const lines: string[] = [];
  const log = createLogger({
    level: 'info',
    format: 'json',
    destination: {
      write(line) {
        const { level, msg } = JSON.parse(line) as { level: string; msg: string };
        lines.push(`${level}: ${msg}`);
      },
    },
  });
  const options = readConfigMap(
    source,
    {
      load: (texts, refuseEmpty) => parseConfigMap(texts, source.name, { refuseEmpty }),
      log,
      createLog: () => log,
    },
    signal,
  );
  return { options, lines };
}

const texts = (level: string) => ({ 'sluice.yaml': `log: { level: ${level} }` });
const levelOf = ({ reload }: Pick<ConfigMapOptions, 'reload'>) => reload().config.log.level;

/** One that was read and is watched. */
async function watched() {
  const configMap = fakeConfigMap();
  const { options: reading, lines } = read(configMap);
  configMap.tell(texts('info'));
  const options = await reading;
  lines.length = 0;
  let changes = 0;
  const stop = options.watch(() => changes++);
  return { configMap, options, lines, stop, changes: () => changes };
}

describe('readConfigMap()', () => {
  it('waits for the first answer, says so, and then follows nothing until it is told to', async () => {
    const configMap = fakeConfigMap();
    const { options, lines } = read(configMap);
    configMap.problem('Cannot list configmaps: the API server does not answer');
    configMap.problem(undefined);
    configMap.tell(texts('debug'));
    const { loaded } = await options;
    expect(loaded.config.log.level).toBe('debug');
    expect(loaded).toMatchObject({
      file: 'ConfigMap inference/sluice/sluice.yaml',
      form: 'Sluice configuration, key sluice.yaml of ConfigMap inference/sluice',
    });
    expect(lines).toEqual([
      'info: Reading the configuration from ConfigMap inference/sluice',
      'warn: Waiting for ConfigMap inference/sluice: Cannot list configmaps: the API server does not answer',
    ]);
    expect(configMap.followers).toEqual([]);
  });

  it('fails where there is no such ConfigMap, and says what to do', async () => {
    const configMap = fakeConfigMap();
    const { options } = read(configMap);
    configMap.tell(undefined);
    await expect(options).rejects.toThrow(
      'Cannot read the configuration from "ConfigMap inference/sluice": there is none of this name; create it with the configuration under the key sluice.yaml',
    );
    expect(configMap.followers).toEqual([]);
  });

  it.each<[string, Record<string, string>, string]>([
    [
      'no key that is one',
      { routerConfig: '{}' },
      'ConfigMap inference/sluice: holds "routerConfig"; needed is routerConfiguration, gatewayConfiguration, schedulerConfiguration or sluice.yaml; is "routerConfig" meant to be "routerConfiguration"?',
    ],
    ['nothing at all', {}, 'ConfigMap inference/sluice: is empty; needed is routerConfiguration'],
    [
      'two configurations',
      { 'sluice.yaml': '', routerConfiguration: '' },
      'ConfigMap inference/sluice: holds more than one configuration, "routerConfiguration" and "sluice.yaml": keep one of them',
    ],
    [
      'a mistake',
      { 'sluice.yaml': 'log:\n  level: loud' },
      'ConfigMap inference/sluice/sluice.yaml:2:10: log.level: "loud" is not one of',
    ],
  ])('fails where it holds %s', async (_, wrong, message) => {
    const configMap = fakeConfigMap();
    const { options } = read(configMap);
    configMap.tell(wrong);
    await expect(options).rejects.toThrow(message);
    expect(configMap.followers).toEqual([]);
  });

  it('gives up waiting when it is told to', async () => {
    const configMap = fakeConfigMap();
    const ending = new AbortController();
    const { options } = read(configMap, ending.signal);
    ending.abort();
    await expect(options).rejects.toBe(ending.signal.reason);
    expect(configMap.followers).toEqual([]);
    await expect(read(configMap, ending.signal).options).rejects.toBe(ending.signal.reason);
  });

  it('tells of each change, what came between the reading and the watch included', async () => {
    const { configMap, options, stop, changes } = await watched();
    configMap.tell(texts('info'));
    expect(changes()).toBe(0);
    configMap.tell(texts('warn'));
    expect([changes(), levelOf(options)]).toEqual([1, 'warn']);
    configMap.tell(texts('error'));
    expect([changes(), levelOf(options)]).toEqual([2, 'error']);
    stop();
    expect(configMap.followers).toEqual([]);
  });

  it('cannot be read again once the ConfigMap was deleted, until it is back', async () => {
    const { configMap, options, changes } = await watched();
    configMap.tell(undefined);
    expect(changes()).toBe(1);
    expect(() => options.reload()).toThrow(
      '"ConfigMap inference/sluice" was deleted: create it again with a configuration in it',
    );
    configMap.tell(texts('info'));
    expect([changes(), levelOf(options)]).toEqual([2, 'info']);
  });

  it('refuses a configuration that became empty', async () => {
    const { configMap, options } = await watched();
    configMap.tell({ 'sluice.yaml': '' });
    expect(() => options.reload()).toThrow('ConfigMap inference/sluice/sluice.yaml:1:1: is empty');
  });

  it('warns once while the API server is away, and says when it is back', async () => {
    const { configMap, options, lines, changes } = await watched();
    configMap.problem('it does not answer');
    configMap.problem('forbidden');
    configMap.problem(undefined);
    expect(lines).toEqual([
      'warn: The configuration stays as it is, ConfigMap inference/sluice cannot be read: it does not answer',
      'info: ConfigMap inference/sluice still cannot be read: forbidden',
      'info: ConfigMap inference/sluice can be read again',
    ]);
    expect([changes(), levelOf(options)]).toEqual([0, 'info']);
  });
});

describe('sluice serve --config-map', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'sluice-test-'));
  let sluice: Child | undefined;
  afterEach(async () => {
    await sluice?.end();
    rmSync(folder, { recursive: true });
  });

  it('waits where nothing else goes on, and ends in peace at a signal', async () => {
    const kubeconfig = path.join(folder, 'kubeconfig');
    const name = 'nowhere';
    const config = {
      'current-context': name,
      clusters: [{ name, cluster: { server: `https://127.0.0.1:${await freePort()}` } }],
      users: [{ name, user: { token: 'a-token' } }],
      contexts: [{ name, context: { cluster: name, user: name, namespace: 'inference' } }],
    };
    writeFileSync(kubeconfig, JSON.stringify(config));
    sluice = startSluice(['serve', '--config-map', 'sluice', '--log-format', 'pretty'], {
      KUBECONFIG: kubeconfig,
    });
    await sluice.line(
      /Waiting for ConfigMap inference\/sluice: Cannot list configmaps "sluice" in namespace "inference": the API server/,
    );
    sluice.kill('SIGTERM');
    expect(await sluice.exited).toEqual({ code: 0, signal: null });
    expect([sluice.stderr, sluice.lines.join('\n')]).toEqual(['', expect.not.stringContaining('a-token')]);
  });
});
