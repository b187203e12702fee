import { beforeEach, describe, expect, it } from '@jest/globals';
import { createLiveConfig, type LiveConfig, type ReloadResult } from '../../src/config/live-config.ts';
import { parseConfig, type LoadedConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { FakeClock } from '../support/fake-clock.ts';

let content: string;
let applied: Config[];
let results: ReloadResult[];
let clock: FakeClock;
let live: LiveConfig;
let prepare: (config: Config) => Promise<() => void>;

/** What the fake clock says at its beginning. */
const startedAtMs = new FakeClock().epochMs();

const read = (): LoadedConfig => parseConfig(content, 'sluice.yaml');

beforeEach(() => {
  content = 'log: { level: info }';
  applied = [];
  results = [];
  clock = new FakeClock();
  prepare = (config) => Promise.resolve(() => void applied.push(config));
  live = createLiveConfig({
    initial: read(),
    load: read,
    prepare: (config) => prepare(config),
    clock,
    onReload: (result) => results.push(result),
  });
});

describe('createLiveConfig()', () => {
  it('begins with what Sluice started with', () => {
    expect(live.current.config.log.level).toBe('info');
    expect(live.status()).toMatchObject({
      file: 'sluice.yaml',
      loadedAtMs: startedAtMs,
      refused: [],
      waiting: [],
    });
  });

  it('swaps in what the source says now', async () => {
    content = 'log: { level: warn }';
    clock.advance(1000);
    await live.reload();
    expect(applied.map(({ log }) => log.level)).toEqual(['warn']);
    expect(live.current.config.log.level).toBe('warn');
    expect(live.status()).toMatchObject({ loadedAtMs: startedAtMs + 1000, refused: [] });
    expect(results.map(({ kind }) => kind)).toEqual(['applied']);
  });

  it('changes nothing for a configuration with faults, and says them all until a good one comes', async () => {
    content = 'log: { level: wran }\nscrape: { intervall: 1s }';
    clock.advance(1000);
    await live.reload();
    expect(applied).toEqual([]);
    expect(live.current.config.log.level).toBe('info');
    const faults = [
      'sluice.yaml:1:15: log.level: "wran" is not one of "trace", "debug", "info", "warn", "error", "fatal", "silent"; did you mean "warn"?',
      'sluice.yaml:2:11: scrape.intervall: there is no field "intervall" here; did you mean "interval"?',
    ];
    expect(live.status()).toMatchObject({ loadedAtMs: startedAtMs, refused: faults });
    expect(results).toEqual([{ kind: 'refused', faults }]);
    content = 'log: { level: warn }';
    await live.reload();
    expect(live.status().refused).toEqual([]);
  });

  it('changes nothing where a part cannot be made ready', async () => {
    prepare = () => Promise.reject(new Error('Cannot read "ca.pem": no such file'));
    content = 'log: { level: warn }';
    await live.reload();
    expect(live.current.config.log.level).toBe('info');
    expect(live.status().refused).toEqual(['Cannot read "ca.pem": no such file']);
  });

  it('tries again where something else was at fault, until it is stopped', async () => {
    prepare = () => Promise.reject(new Error('the issuer does not answer'));
    content = 'log: { level: warn }';
    await live.reload();
    await clock.advanceAsync(30_000);
    expect(results.map(({ kind }) => kind)).toEqual(['refused', 'refused']);
    prepare = (config) => Promise.resolve(() => void applied.push(config));
    await clock.advanceAsync(30_000);
    expect(live.current.config.log.level).toBe('warn');
    expect(clock.pending).toBe(0);
    prepare = () => Promise.reject(new Error('again'));
    await live.reload();
    live.stop();
    expect(clock.pending).toBe(0);
  });

  it('keeps what only counts at a start, and says what waits for one', async () => {
    content = 'log: { level: warn }\nadmin: { port: 9999 }';
    await live.reload();
    expect(live.current.config.admin.port).toBe(9090);
    expect(live.current.config.log.level).toBe('warn');
    expect(live.status().waiting).toEqual(['admin.port']);
    content = 'log: { level: warn }';
    await live.reload();
    expect(live.status().waiting).toEqual([]);
  });

  it('runs one attempt after another, and no more than one in waiting', async () => {
    const running: (() => void)[] = [];
    prepare = (config) =>
      new Promise((resolve) => running.push(() => resolve(() => void applied.push(config))));
    content = 'log: { level: warn }';
    const first = live.reload();
    await Promise.resolve();
    content = 'log: { level: error }';
    const second = live.reload();
    const third = live.reload();
    expect(running).toHaveLength(1);
    running[0]!();
    await first;
    await Promise.resolve();
    expect(running).toHaveLength(2);
    running[1]!();
    await Promise.all([second, third]);
    expect(applied.map(({ log }) => log.level)).toEqual(['warn', 'error']);
  });

  it('survives a source that cannot be read', async () => {
    const gone = createLiveConfig({
      initial: read(),
      load: () => {
        throw new Error('Cannot read configuration "sluice.yaml": no such file');
      },
      prepare,
      clock,
      onReload: (result) => results.push(result),
    });
    await gone.reload();
    expect(gone.status().refused).toEqual(['Cannot read configuration "sluice.yaml": no such file']);
    expect(gone.current.config.log.level).toBe('info');
  });
});
