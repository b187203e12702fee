import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { envoyFolder, envoyVersion, findEnvoy } from '../../src/envoy/find-envoy.ts';
import { managedEnvoyVersion } from '../../src/envoy/version.ts';
import { envoyBinary } from '../support/envoy.ts';

const inVenv = 'lib/python3.11/site-packages/envoy/_bin/envoy';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sluice-test-'));
});

afterEach(() => rmSync(folder, { recursive: true }));

/** Writes a program that says what Envoy says to `--version`. */
function fakeEnvoy(place: string, version = '1.40.0'): string {
  const file = path.join(folder, place);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, `#!/bin/sh\necho "envoy  version: 0a1b2c/${version}/Clean/RELEASE/BoringSSL"\n`, {
    mode: 0o755,
  });
  return file;
}

const find = (options: { envoyBin?: string; bin?: string } = {}) =>
  findEnvoy({
    envoyBin: options.envoyBin,
    root: path.join(folder, 'project'),
    env: {
      XDG_CACHE_HOME: path.join(folder, 'cache'),
      PATH: `${path.join(folder, 'empty')}:${path.join(folder, 'path')}`,
      ...(options.bin !== undefined && { ENVOY_BIN: options.bin }),
    },
  });

describe('findEnvoy()', () => {
  it('takes the first of: --envoy-bin, ENVOY_BIN, .venv, the cache, PATH', async () => {
    const onPath = fakeEnvoy('path/envoy', '1.36.4');
    expect(await find()).toEqual({ path: onPath, version: { major: 1, minor: 36, patch: 4 } });
    const cached = fakeEnvoy(`cache/sluice/envoy-1.40.0/${inVenv}`);
    expect((await find()).path).toBe(cached);
    const ours = fakeEnvoy(`project/.venv/${inVenv}`);
    expect((await find()).path).toBe(ours);
    const named = fakeEnvoy('named');
    expect((await find({ bin: named })).path).toBe(named);
    const flagged = fakeEnvoy('flagged');
    expect((await find({ bin: named, envoyBin: flagged })).path).toBe(flagged);
  });

  it('names the command that gets one where there is none', async () => {
    await expect(find()).rejects.toThrow(
      'Cannot find Envoy: it is not in --envoy-bin, ENVOY_BIN, .venv or PATH; run `sluice install-envoy` to get one',
    );
  });

  it('does not look further when the one that was named is not there', async () => {
    fakeEnvoy('path/envoy');
    await expect(find({ envoyBin: '/nonexistent/envoy' })).rejects.toThrow(
      'Cannot use Envoy "/nonexistent/envoy" from --envoy-bin: there is no executable file at this path',
    );
    await expect(find({ bin: folder })).rejects.toThrow(`Cannot use Envoy "${folder}" from ENVOY_BIN`);
  });

  it('refuses one that is too old', async () => {
    const old = fakeEnvoy('path/envoy', '1.35.9');
    await expect(find()).rejects.toThrow(
      `Cannot use Envoy "${old}": it is 1.35.9, and 1.36 is the oldest that works`,
    );
  });
});

describe('envoyVersion()', () => {
  it('reads the version of the real one', async () => {
    expect(await envoyVersion(await envoyBinary())).toEqual(managedEnvoyVersion);
  });

  it('does not take another program for Envoy', async () => {
    const file = path.join(folder, 'other');
    writeFileSync(file, '#!/bin/sh\necho other 1.2.3\n', { mode: 0o755 });
    await expect(envoyVersion(file)).rejects.toThrow(
      `Cannot use Envoy "${file}": its --version does not say that it is Envoy`,
    );
  });

  it('says when it does not run', async () => {
    const file = path.join(folder, 'broken');
    writeFileSync(file, '#!/bin/sh\nexit 3\n', { mode: 0o755 });
    await expect(envoyVersion(file)).rejects.toThrow(`Cannot run Envoy "${file}"`);
  });
});

describe('envoyFolder()', () => {
  it.each([
    [{ XDG_CACHE_HOME: '/c', HOME: '/h' }, '/c/sluice/envoy-1.40.0'],
    [{ HOME: '/h' }, '/h/.cache/sluice/envoy-1.40.0'],
    [{ XDG_CACHE_HOME: 'relative', HOME: '/h' }, '/h/.cache/sluice/envoy-1.40.0'],
  ])('for %j is %s', (env, expected) => {
    expect(envoyFolder(managedEnvoyVersion, env)).toBe(expected);
  });
});
