import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import type { SocketAddress } from '../../src/envoy/address.ts';
import { envoyBootstrap } from '../../src/envoy/bootstrap.ts';
import { createEnvoySupervisor, type EnvoySupervisor } from '../../src/envoy/supervisor.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { envoyBinary } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { eventually } from '../support/eventually.ts';
import { startEnvoyRig } from './support/envoy-rig.ts';
import { startFakeEngine } from './support/fake-engine.ts';
import { FakeEndpoints } from './support/fake-endpoints.ts';
import { FakeLog } from './support/fake-log.ts';
import { startScriptedSluice, type ScriptedSluice } from './support/scripted-sluice.ts';

interface Subject {
  readonly supervisor: EnvoySupervisor;
  readonly log: FakeLog;
  /** The private folder of the run, once it was asked for a configuration. */
  readonly folder: () => string;
}

const running: EnvoySupervisor[] = [];
let sluice: ScriptedSluice;

beforeAll(async () => {
  sluice = await startScriptedSluice(new FakeEndpoints(), new FakeLog());
  sluice.decide({ kind: 'reply', status: 200, body: '{}' });
});

afterAll(() => sluice.stop());

afterEach(async () => {
  await Promise.all(running.splice(0).map((supervisor) => supervisor.stop(2_000)));
});

async function subject(
  port: number,
  edit: (bootstrap: object) => object = (bootstrap) => bootstrap,
): Promise<Subject> {
  const log = new FakeLog();
  const listen: SocketAddress = { kind: 'tcp', host: '127.0.0.1', port };
  let adminPath = '';
  const supervisor = createEnvoySupervisor(
    { log, clock: systemClock, random: () => 0 },
    {
      bin: await envoyBinary(),
      listen,
      concurrency: 1,
      bootstrap(admin) {
        if (admin.kind === 'unix') adminPath = admin.path;
        const extProc: SocketAddress = { kind: 'tcp', host: '127.0.0.1', port: sluice.port };
        return edit(envoyBootstrap({ listen, admin, extProc, engineTls: { kind: 'insecure' } }));
      },
    },
  );
  running.push(supervisor);
  return { supervisor, log, folder: () => path.dirname(adminPath) };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A dead child that nobody waited for still has an id.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });
}

describe('createEnvoySupervisor()', () => {
  it('starts an Envoy that serves, and leaves neither process nor file behind', async () => {
    const port = await freePort();
    const { supervisor, folder } = await subject(port);
    await supervisor.start();
    const pid = supervisor.pid!;
    expect(supervisor.ready).toBe(true);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
    expect(statSync(folder()).mode & 0o777).toBe(0o700);
    expect(statSync(path.join(folder(), 'envoy.json')).mode & 0o777).toBe(0o600);

    await supervisor.stop(5_000);
    expect(isAlive(pid)).toBe(false);
    expect(existsSync(folder())).toBe(false);
    expect(supervisor.ready).toBe(false);
  }, 20_000);

  it('starts a new one when it is killed', async () => {
    const port = await freePort();
    const { supervisor, log } = await subject(port);
    await supervisor.start();
    const first = supervisor.pid!;
    process.kill(first, 'SIGKILL');
    await log.waitFor('ready again');
    expect(supervisor.restarts).toBe(1);
    expect(supervisor.pid).not.toBe(first);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
    expect(log.messages('error')).toContain('Envoy died; starting it again in 250 ms');
  }, 20_000);

  it('says that the port is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = other.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    const { supervisor, folder } = await subject(port);
    await expect(supervisor.start()).rejects.toThrow(
      `Cannot start Envoy: Cannot listen on 127.0.0.1:${port}: address already in use`,
    );
    expect(existsSync(folder())).toBe(false);
    other.close();
  }, 20_000);

  it('gives the reason of an Envoy that refuses its configuration', async () => {
    const { supervisor } = await subject(await freePort(), (bootstrap) => ({
      ...bootstrap,
      no_such_field: 1,
    }));
    await expect(supervisor.start()).rejects.toThrow(/^Cannot start Envoy: .*no_such_field/);
    expect(supervisor.pid).toBeUndefined();
  }, 20_000);

  it('says that there is no Envoy where it was told to look', async () => {
    const supervisor = createEnvoySupervisor(
      { log: new FakeLog(), clock: systemClock, random: () => 0 },
      {
        bin: '/nonexistent/envoy',
        listen: { kind: 'tcp', host: '127.0.0.1', port: await freePort() },
        bootstrap: () => ({}),
      },
    );
    await expect(supervisor.start()).rejects.toThrow('Cannot start Envoy "/nonexistent/envoy"');
  }, 20_000);

  it('can be stopped while it starts', async () => {
    const { supervisor, folder } = await subject(await freePort());
    const started = supervisor.start();
    started.catch(() => undefined);
    await eventually(() => folder() !== '.' && existsSync(path.join(folder(), 'envoy.json')));
    await supervisor.stop(2_000);
    await expect(started).rejects.toThrow('it was stopped');
    expect(existsSync(folder())).toBe(false);
  }, 20_000);

  it('does not let go of a stopped one for longer than the deadline', async () => {
    const { supervisor } = await subject(await freePort());
    await supervisor.start();
    const pid = supervisor.pid!;
    process.kill(pid, 'SIGSTOP');
    await supervisor.stop(50);
    expect(isAlive(pid)).toBe(false);
  }, 20_000);

  it('drains: running requests end, new connections are refused', async () => {
    let finish = (): void => undefined;
    const engine = await startFakeEngine((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {}\n\n');
      finish = () => response.end('data: [DONE]\n\n');
    });
    const rig = await startEnvoyRig();
    await rig.routeTo(engine.port);
    const response = await fetch(rig.url, { method: 'POST', body: '{}' });

    let drained = false;
    const draining = rig.envoy.drain(new AbortController().signal).then(() => (drained = true));
    await eventually(() => isRefused(rig.port));
    expect(drained).toBe(false);
    finish();
    expect(await response.text()).toBe('data: {}\n\ndata: [DONE]\n\n');
    await draining;
    await rig.stop();
    await engine.stop();
  }, 20_000);

  it('stops waiting for requests when it is told to', async () => {
    const engine = await startFakeEngine((response) => response.writeHead(200).flushHeaders());
    const rig = await startEnvoyRig();
    await rig.routeTo(engine.port);
    const response = await fetch(rig.url, { method: 'POST', body: '{}' });
    const deadline = new AbortController();
    const draining = rig.envoy.drain(deadline.signal);
    deadline.abort();
    await draining;
    await rig.stop();
    await expect(response.text()).rejects.toThrow();
    await engine.stop();
  }, 20_000);

  it('leaves no Envoy behind when its own process is killed', async () => {
    const parent = spawn(
      process.execPath,
      [
        path.join(import.meta.dirname, 'support/supervise.ts'),
        await envoyBinary(),
        String(await freePort()),
        String(sluice.port),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const pid = await new Promise<number>((resolve) => {
      parent.stdout.once('data', (text: Buffer) => resolve(Number(text.toString())));
    });
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await eventually(() => !isAlive(pid));
  }, 20_000);
});
