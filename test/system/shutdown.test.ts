import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { chatBody } from '../support/chat.ts';
import { isAlive, startSluice, type Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { readReply, responseOf, startRequest } from '../support/http-client.ts';

/** Stays in the middle of a stream for as long as it is not told to go on. */
let engine: SimulatedEngine;
beforeAll(async () => {
  engine = await startSimulatedEngine({ model: 'm', speed: 20 });
});
afterAll(() => engine.stop());

interface Router {
  readonly child: Child;
  readonly port: number;
  readonly envoyPid: number;
  /** Where it keeps its files. */
  readonly temporary: string;
  /** The head of a stream that ends only when the engine goes on. */
  readonly stream: IncomingMessage;
}

let folder: string;
let router: Router;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
});
afterEach(async () => {
  engine.setFault({ mode: 'none' });
  await router.child.end();
  await rm(folder, { recursive: true, force: true });
});

async function startRouter(drainTimeout: string): Promise<Router> {
  const temporary = await mkdtemp(path.join(folder, 'tmp-'));
  const config = path.join(folder, 'sluice.yaml');
  await writeFile(config, `limits: { drainTimeout: ${drainTimeout} }\nscrape: { timeout: 500ms }`);
  const port = await freePort();
  const child = startSluice(
    [
      ...['router', '--host', '127.0.0.1', '--port', String(port), '--config', config],
      ...['--static-backends', engine.url, '--admin-port', '0', '--log-format', 'json'],
    ],
    { TMPDIR: temporary },
  );
  const ready = JSON.parse(await child.line(/"msg":"Envoy is ready"/)) as { readonly pid: number };
  const url = `http://127.0.0.1:${port}/health`;
  await eventually(async () => (await fetch(url).catch(() => undefined))?.status === 200);
  let stream: IncomingMessage | undefined;
  await eventually(async () => {
    engine.setFault({ mode: 'none' });
    const outgoing = startRequest(port, { body: chatBody({ tokens: 400, stream: true }) });
    stream = await responseOf(outgoing);
    return stream.statusCode === 200;
  });
  engine.setFault({ mode: 'hang' });
  return { child, port, envoyPid: ready.pid, temporary, stream: stream! };
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

async function nothingIsLeft({ child, envoyPid, temporary, port }: Router): Promise<void> {
  expect(await child.exited).toEqual({ code: 0, signal: null });
  expect(isAlive(envoyPid)).toBe(false);
  expect(await readdir(temporary)).toEqual([]);
  expect(await isRefused(port)).toBe(true);
  expect(child.stderr).toBe('');
}

describe('sluice router', () => {
  it('lets the running stream end on SIGTERM, refuses new connections, and leaves nothing', async () => {
    router = await startRouter('30s');
    const { child, port, stream } = router;
    const reply = readReply(stream);
    child.kill('SIGTERM');
    await child.line(/Draining: \d+ exchanges? running/);
    await eventually(() => isRefused(port));
    engine.setFault({ mode: 'none' });
    expect((await reply).body).toMatch(/data: \[DONE\]\n\n$/);
    await nothingIsLeft(router);
    expect(child.lines.some((line) => line.includes('Cutting'))).toBe(false);
    expect(child.lines.some((line) => line.includes('"outcome":"completed"'))).toBe(true);
  }, 30_000);

  it('stops at once on the second Ctrl-C', async () => {
    router = await startRouter('1h');
    const { child, stream } = router;
    const broken = expect(stream.toArray()).rejects.toThrow('aborted');
    child.interrupt();
    await child.line(/Draining: \d+ exchanges? running/);
    expect(isAlive(child.pid)).toBe(true);
    child.interrupt();
    await broken;
    await nothingIsLeft(router);
  }, 30_000);

  it('cuts what does not end in time, and says how much that was', async () => {
    router = await startRouter('300ms');
    const { child, stream } = router;
    const broken = expect(stream.toArray()).rejects.toThrow('aborted');
    child.kill('SIGTERM');
    await child.line(/Cutting 1 exchange that did not end in time/);
    await broken;
    await nothingIsLeft(router);
  }, 30_000);
});
