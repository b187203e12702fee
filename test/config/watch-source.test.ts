import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { watchSource, type SourceWatch } from '../../src/config/watch-source.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { until } from '../support/until.ts';

const pollMs = 10_000;
const settleMs = 100;

let folder: string;
let clock: FakeClock;
let changes: number;
let watching: SourceWatch | undefined;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sluice-test-'));
  clock = new FakeClock();
  changes = 0;
});

afterEach(() => {
  watching?.stop();
  rmSync(folder, { recursive: true });
});

function watchFor(source: string): void {
  watching = watchSource(source, { clock, onChange: () => (changes += 1) }, { pollMs, settleMs });
}

/** The file system has told of it when a second timer runs beside the one that polls. */
async function reported(): Promise<void> {
  await until(() => clock.pending === 2);
  clock.advance(settleMs);
}

/** What the file system has reported so far is read in one go, between two turns of the event loop. */
async function delivered(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A folder as the kubelet mounts a ConfigMap: keys are links into a folder that is swapped whole. */
function mounted(...versions: readonly string[]): { mount: string; swap: (version: string) => void } {
  const mount = path.join(folder, 'mount');
  mkdirSync(mount);
  for (const version of versions) {
    mkdirSync(path.join(mount, `..${version}`));
    writeFileSync(path.join(mount, `..${version}`, 'routerConfiguration'), `# ${version}`);
  }
  symlinkSync(`..${versions[0]!}`, path.join(mount, '..data'));
  symlinkSync('..data/routerConfiguration', path.join(mount, 'routerConfiguration'));
  return {
    mount,
    swap(version) {
      symlinkSync(`..${version}`, path.join(mount, '..data_tmp'));
      renameSync(path.join(mount, '..data_tmp'), path.join(mount, '..data'));
    },
  };
}

describe('watchSource()', () => {
  it('tells of a file that is written', async () => {
    const file = path.join(folder, 'sluice.yaml');
    writeFileSync(file, 'a');
    watchFor(file);
    writeFileSync(file, 'b');
    await reported();
    expect(changes).toBe(1);
  });

  it('tells once of a file that is written in several steps', async () => {
    const file = path.join(folder, 'sluice.yaml');
    writeFileSync(file, 'a');
    watchFor(file);
    writeFileSync(file, '');
    await until(() => clock.pending === 2);
    clock.advance(settleMs / 2);
    expect(changes).toBe(0);
    writeFileSync(file, 'b');
    await delivered();
    clock.advance(settleMs);
    expect(changes).toBe(1);
  });

  it('tells of a file that another one replaces', async () => {
    const file = path.join(folder, 'sluice.yaml');
    writeFileSync(file, 'a');
    watchFor(file);
    for (const content of ['b', 'c']) {
      writeFileSync(`${file}.new`, content);
      renameSync(`${file}.new`, file);
      await reported();
    }
    expect(changes).toBe(2);
  });

  it('says nothing of a file that was only touched', async () => {
    const file = path.join(folder, 'sluice.yaml');
    writeFileSync(file, 'a');
    watchFor(file);
    utimesSync(file, 1, 1);
    await reported();
    expect(changes).toBe(0);
  });

  it('is not kept waiting by its neighbours', async () => {
    const file = path.join(folder, 'sluice.yaml');
    writeFileSync(file, 'a');
    watchFor(file);
    writeFileSync(path.join(folder, 'sluice.log'), 'a line');
    writeFileSync(file, 'b');
    await until(() => clock.pending === 2);
    await delivered();
    clock.advance(settleMs / 2);
    writeFileSync(path.join(folder, 'sluice.log'), 'another line');
    await delivered();
    clock.advance(settleMs / 2);
    expect(changes).toBe(1);
  });

  it('looks after a second where changes never cease', async () => {
    watchFor(folder);
    for (let i = 0; i < 30 && changes === 0; i++) {
      writeFileSync(path.join(folder, 'sluice.yaml'), String(i));
      await until(() => clock.pending === 2);
      await delivered();
      clock.advance(settleMs * 0.9);
    }
    expect(changes).toBe(1);
  });

  it.each([
    ['the folder', (mount: string) => mount],
    ['one of its files', (mount: string) => path.join(mount, 'routerConfiguration')],
  ])('tells of each swap of a mounted ConfigMap, given %s', async (_, sourceIn) => {
    const { mount, swap } = mounted('v1', 'v2', 'v3');
    watchFor(sourceIn(mount));
    swap('v2');
    await reported();
    expect(changes).toBe(1);
    swap('v3');
    await reported();
    expect(changes).toBe(2);
  });

  it('finds by polling what nobody reported', () => {
    const file = path.join(folder, 'absent', 'sluice.yaml');
    watchFor(file);
    mkdirSync(path.dirname(file));
    writeFileSync(file, 'a');
    clock.advance(pollMs);
    expect(changes).toBe(1);
  });

  it('listens again once the folder is there', async () => {
    const file = path.join(folder, 'absent', 'sluice.yaml');
    watchFor(file);
    mkdirSync(path.dirname(file));
    clock.advance(pollMs);
    writeFileSync(file, 'a');
    await reported();
    expect(changes).toBe(1);
  });

  it('tells of a file that goes and of one that comes', () => {
    const file = path.join(folder, 'sluice.yaml');
    writeFileSync(file, 'a');
    watchFor(file);
    unlinkSync(file);
    clock.advance(pollMs);
    expect(changes).toBe(1);
    writeFileSync(file, 'a');
    clock.advance(pollMs);
    expect(changes).toBe(2);
  });

  it('leaves no timer behind', () => {
    watchFor(folder);
    watching?.stop();
    expect(clock.pending).toBe(0);
  });
});
