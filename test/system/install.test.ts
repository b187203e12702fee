import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { envoyBinary } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { send } from '../support/http-client.ts';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../..');

interface Exited {
  readonly code: number | null;
  readonly output: string;
}

describe('the packed package, installed into an empty folder', () => {
  let folder: string;
  let sluice: string;
  let engine: SimulatedEngine;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-install-'));
    engine = await startSimulatedEngine({ model: 'm', speed: 20 });
    const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root });
    const [packed] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [{ filename: string }];
    await run(
      'npm',
      [
        'install',
        '--global',
        '--prefix',
        folder,
        '--prefer-offline',
        '--no-audit',
        '--no-fund',
        path.join(folder, packed.filename),
      ],
      { cwd: folder },
    );
    sluice = path.join(folder, 'bin/sluice');
  }, 180_000);

  afterAll(async () => {
    await engine.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Nothing of this machine's set-up helps but Node, and what is said. */
  async function environment(more: NodeJS.ProcessEnv): Promise<NodeJS.ProcessEnv> {
    const onlyNode = path.join(folder, 'only-node');
    await symlink(process.execPath, path.join(await ensure(onlyNode), 'node')).catch(() => undefined);
    return { PATH: onlyNode, HOME: await ensure(path.join(folder, 'home')), ...more };
  }

  it('says its version', async () => {
    const manifest = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    for (const command of [sluice, path.join(folder, 'bin/vllm-router')]) {
      const { stdout } = await run(command, ['--version'], { env: await environment({}) });
      expect(stdout).toContain(manifest.version);
    }
  });

  it('takes the place of vllm-router', async () => {
    const port = await freePort();
    const child = spawn(
      path.join(folder, 'bin/vllm-router'),
      [
        ...['--host', '127.0.0.1', '--port', String(port), '--service-discovery', 'static'],
        ...['--static-backends', engine.url, '--static-models', 'm', '--routing-logic', 'roundrobin'],
      ],
      { env: await environment({ ENVOY_BIN: await envoyBinary() }), stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const exited = exitOf(child);
    try {
      await said(child, /Envoy 1\.40\.0 listens on/);
      expect((await completed(port)).json).toMatchObject({ model: 'm' });
      child.kill('SIGTERM');
      const { code, output } = await exited;
      expect(code).toBe(0);
      expect(output).toMatch(/Routing request \S+ with session id None to http:\/\/127\.0\.0\.1:\d+ at /);
    } finally {
      child.kill('SIGKILL');
      await exited;
    }
  }, 60_000);

  it('prints a bootstrap that Envoy accepts', async () => {
    const { stdout } = await run(sluice, ['envoy-config'], { env: await environment({}) });
    const file = path.join(folder, 'envoy.yaml');
    await writeFile(file, stdout);
    const { stdout: said } = await run(await envoyBinary(), ['--mode', 'validate', '-c', file]);
    expect(said).toContain("configuration '");
    expect(said).toMatch(/ OK\s*$/);
  }, 30_000);

  it('routes a completion, and ends with 0 when it is told to', async () => {
    const port = await freePort();
    const child = spawn(
      sluice,
      [
        'router',
        '--host',
        '127.0.0.1',
        '--port',
        String(port),
        '--admin-port',
        '0',
        '--static-backends',
        engine.url,
      ],
      { env: await environment({ ENVOY_BIN: await envoyBinary() }), stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const exited = exitOf(child);
    try {
      await said(child, /Envoy 1\.40\.0 listens on/);
      const reply = await completed(port);
      expect(reply.json).toMatchObject({ model: 'm', usage: { completion_tokens: 2 } });
      child.kill('SIGTERM');
      const { code, output } = await exited;
      expect(code).toBe(0);
      expect(output).toContain('POST /v1/chat/completions m to');
      await expect(send(port, { method: 'GET', path: '/health' })).rejects.toThrow('ECONNREFUSED');
    } finally {
      child.kill('SIGKILL');
      await exited;
    }
  }, 60_000);

  it('names the command that gets Envoy, where there is none', async () => {
    const child = spawn(
      sluice,
      ['router', '--host', '127.0.0.1', '--port', '0', '--admin-port', '0', '--static-backends', engine.url],
      { env: await environment({}), stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const { code, output } = await exitOf(child);
    expect(code).toBe(1);
    expect(output).toContain('Cannot find Envoy');
    expect(output).toContain('run `sluice install-envoy` to get one');
  });

  /** Engines are asked what they serve after the start: until then the model is not ready. */
  async function completed(port: number) {
    const body = JSON.stringify({
      model: 'm',
      messages: [{ role: 'user', content: 'Hello' }],
      max_tokens: 2,
    });
    for (;;) {
      const reply = await send(port, { body });
      if (reply.status === 200) return reply;
      expect(reply.status).toBe(503);
    }
  }
});

async function ensure(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  return folder;
}

async function exitOf(child: ChildProcess): Promise<Exited> {
  let output = '';
  child.stdout?.on('data', (chunk) => (output += String(chunk)));
  child.stderr?.on('data', (chunk) => (output += String(chunk)));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

/** Resolves when the process wrote something that matches; rejects when it ended before. */
function said(child: ChildProcess, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk) => {
        output += String(chunk);
        if (pattern.test(output)) resolve();
      });
    child.once('close', () => reject(new Error(`It ended without saying ${String(pattern)}: ${output}`)));
  });
}
