import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { buildImage, type Image } from './support/image.ts';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');

describe('the image of the Dockerfile, as far as files go', () => {
  let image: Image;
  let empty: string;

  beforeAll(async () => {
    image = await buildImage();
    empty = await mkdtemp(path.join(tmpdir(), 'sluice-empty-'));
  }, 300_000);

  afterAll(async () => {
    await image.remove();
    await rm(empty, { recursive: true, force: true });
  });

  /** From an empty folder, with nothing of this repository around. */
  async function sluice(...args: string[]): Promise<string> {
    const [command, ...first] = image.entrypoint;
    const { stdout } = await run(command!, [...first, ...args], { cwd: empty, env: { PATH: image.path } });
    return stdout;
  }

  it('runs the Sluice of this version', async () => {
    const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(await sluice('--version')).toBe(`${version}\n`);
  });

  it('says what it can do when it is told nothing', async () => {
    const dockerfile = await readFile(path.join(root, 'Dockerfile'), 'utf8');
    expect(/^CMD (.*)$/m.exec(dockerfile)?.[1]).toBe('["--help"]');
    expect(await sluice('--help')).toContain('A scheduler for LLM inference behind Envoy');
  });

  it('writes a bootstrap, as the pod has it do', async () => {
    expect(await sluice('envoy-config', '--ext-proc=unix:/run/sluice/grpc.sock')).toContain(
      '/run/sluice/grpc.sock',
    );
  });

  it('has every package that is needed, and none that is for development', async () => {
    const manifest = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
      devDependencies: Record<string, string>;
    };
    const modules = path.join(image.folder, 'opt/sluice/node_modules');
    const names = (await readdir(modules, { recursive: true })).filter((name) =>
      name.endsWith('/package.json'),
    );
    const installed = new Set(names.map((name) => path.dirname(name)));
    expect(Object.keys(manifest.dependencies).filter((name) => !installed.has(name))).toEqual([]);
    const needed = new Set(Object.keys(manifest.dependencies));
    const tools = ['typescript', 'jest', 'eslint', 'prettier', 'node', 'knip'];
    expect(tools.filter((name) => installed.has(name) && !needed.has(name))).toEqual([]);
  });

  it('has no sources, tests or tools', async () => {
    expect((await readdir(path.join(image.folder, 'opt/sluice'))).sort()).toEqual([
      'LICENSE',
      'dist',
      'node_modules',
      'package.json',
      'proto',
    ]);
  });

  it('belongs to nobody in particular, by number', () => {
    expect(image.user).toBe('65532:65532');
  });
});
