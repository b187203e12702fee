import { describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { chat, chatBody } from '../support/chat.ts';
import { isAlive, startSluice, type Child } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { startGateway } from '../support/gateway.ts';
import { responseOf, startRequest } from '../support/http-client.ts';
import { untilIdle } from '../support/pages.ts';

describe('Envoy is killed', () => {
  it('under load: it is started again, and nothing is in flight', async () => {
    const gateway = await startGateway({ config: 'usage: { accessLogTimeout: 300ms }' });
    try {
      const { pid: first } = await gateway.line(({ msg }) => msg === 'Envoy is ready');
      const streams = await Promise.all(
        Array.from({ length: 8 }, () =>
          responseOf(startRequest(gateway.port, { body: chatBody({ tokens: 20_000, stream: true }) })),
        ),
      );
      const broken = streams.map((response) => response.toArray());
      for (const engine of gateway.engines) engine.setFault({ mode: 'hang' });
      const waiting = Array.from({ length: 8 }, () => chat(gateway));
      const outcomes = Promise.allSettled([...broken, ...waiting]);
      await eventually(async () => (await gateway.inFlight()) === 16);

      process.kill(Number(first), 'SIGKILL');
      expect((await outcomes).map(({ status }) => status)).toEqual(Array(16).fill('rejected'));
      await untilIdle(gateway);
      for (const engine of gateway.engines) engine.setFault({ mode: 'none' });
      const { pid: second } = await gateway.line(({ msg }) => msg === 'Envoy is ready again');
      expect(second).not.toBe(first);
      expect((await chat(gateway)).status).toBe(200);
      await untilIdle(gateway);
      expect(gateway.lines.filter(({ level }) => level === 'error').map(({ msg }) => msg)).toEqual([
        expect.stringMatching(/^Envoy died; starting it again in \d+ ms$/),
      ]);

      await gateway.stop();
      expect([first, second].map((pid) => isAlive(Number(pid)))).toEqual([false, false]);
    } finally {
      await gateway.stop();
    }
  }, 30_000);
});

describe('sluice router does not start', () => {
  /** Runs it to its end; returns what it said, and which temporary files it left. */
  async function run(engine: SimulatedEngine, ...args: string[]): Promise<{ child: Child; left: string[] }> {
    const folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
    const common = ['--static-backends', engine.url, '--admin-port', '0', '--host', '127.0.0.1'];
    const child = startSluice(['router', ...common, ...args], { TMPDIR: folder });
    try {
      await child.exited;
      return { child, left: await readdir(folder) };
    } finally {
      await child.end();
      await rm(folder, { recursive: true, force: true });
    }
  }

  it('when its port is taken: it says so and leaves nothing behind', async () => {
    const engine = await startSimulatedEngine({ model: 'm' });
    const holder = createServer();
    const port = await new Promise<number>((resolve) => {
      holder.listen(0, '127.0.0.1', () => resolve((holder.address() as { port: number }).port));
    });
    try {
      const { child, left } = await run(engine, '--port', String(port));
      expect(await child.exited).toEqual({ code: 1, signal: null });
      expect(child.stderr).toBe(
        `sluice: Cannot start Envoy: Cannot listen on 127.0.0.1:${port}: address already in use\n`,
      );
      expect(left).toEqual([]);
    } finally {
      holder.close();
      await engine.stop();
    }
  }, 30_000);

  it('when there is no Envoy where it was told to look', async () => {
    const engine = await startSimulatedEngine({ model: 'm' });
    try {
      const { child, left } = await run(
        engine,
        ...['--port', String(await freePort()), '--envoy-bin', '/nonexistent/envoy'],
      );
      expect(await child.exited).toEqual({ code: 1, signal: null });
      expect(child.stderr).toMatch(/^sluice: Cannot .*"?\/nonexistent\/envoy"?.*\n$/);
      expect(left).toEqual([]);
    } finally {
      await engine.stop();
    }
  }, 30_000);
});
