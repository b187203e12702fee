import { describe, expect, it } from '@jest/globals';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import path from 'node:path';
import { startSimulatedEngine } from '../../src/engine-sim/server.ts';
import { chatBody } from '../support/chat.ts';
import { envoyBinary } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { readReply, responseOf, startRequest, type Sent } from '../support/http-client.ts';
import type { Report } from '../support/measured-router.ts';
import { endpoints, sample } from '../support/pages.ts';

const exchanges = 2000;

/** What one exchange in ten looks like, and how it ends. */
const kinds: readonly (() => Sent & { readonly leaves?: 'at-once' | 'mid-stream' })[] = [
  () => ({ body: chatBody() }),
  () => ({ body: chatBody() }),
  () => ({ body: chatBody({ prompt: 'x'.repeat(20_000) }) }),
  () => ({ body: chatBody({ stream: true, tokens: 5 }) }),
  () => ({ body: chatBody({ stream: true, tokens: 5 }) }),
  () => ({ body: '{"model":' }),
  () => ({ body: chatBody().replace('"m"', '"nobody-serves-this"') }),
  () => ({ method: 'GET', path: '/v1/models' }),
  () => ({ body: chatBody({ stream: true, tokens: 2000 }), leaves: 'mid-stream' }),
  () => ({ body: chatBody({ tokens: 2000 }), leaves: 'at-once' }),
];

/** Counts how the exchanges of a round ended, as clients saw it. */
async function round(port: number): Promise<Map<string, number>> {
  const ends = new Map<string, number>();
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  let begun = 0;
  async function work(): Promise<void> {
    while (begun < exchanges) {
      const { leaves, ...sent } = kinds[begun++ % kinds.length]!();
      const end = await one(port, { ...sent, agent }, leaves);
      ends.set(end, (ends.get(end) ?? 0) + 1);
    }
  }
  await Promise.all(Array.from({ length: 16 }, work));
  agent.destroy();
  return ends;
}

async function one(port: number, sent: Sent, leaves: string | undefined): Promise<string> {
  const outgoing = startRequest(port, sent);
  try {
    if (leaves === 'at-once') {
      await once(outgoing, 'finish');
      outgoing.destroy();
      return 'left';
    }
    const response = await responseOf(outgoing);
    if (leaves === 'mid-stream') {
      outgoing.destroy();
      return 'left';
    }
    return String((await readReply(response)).status);
  } catch {
    return 'broken';
  }
}

async function ask(child: ChildProcess, wish: 'heap' | 'stop'): Promise<Report> {
  const answer = once(child, 'message');
  child.send(wish);
  const [report] = (await answer) as [Report];
  return report;
}

describe('thousands of exchanges that end in every way', () => {
  it('leave nothing in flight and no memory behind', async () => {
    const engines = await Promise.all(
      [0, 1, 2].map((seed) => startSimulatedEngine({ model: 'm', speed: 100, seed })),
    );
    // One engine breaks every stream, and every plain request, which another one then answers.
    engines[2]!.setFault({ mode: 'drop-mid-stream', afterTokens: 1, rate: 0.5 });
    const port = await freePort();
    const child = fork(
      path.join(import.meta.dirname, '../support/measured-router.ts'),
      [`127.0.0.1:${port}`, engines.map(({ url }) => url).join(), await envoyBinary()],
      {
        // Code that V8 throws away now and then would hide what is kept.
        execArgv: ['--expose-gc', '--no-flush-bytecode', '--max-semi-space-size=1'],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
        env: { ...process.env, NODE_OPTIONS: '' },
      },
    );
    try {
      const [ready] = (await once(child, 'message')) as [Report];
      const adminUrl = ready.kind === 'ready' ? ready.adminUrl : '';
      const pages = { adminUrl, admin: async (page: string) => (await fetch(adminUrl + page)).json() };

      /** Heap bytes once all that a round began has ended. */
      async function settledHeap(): Promise<number> {
        for (const gauge of ['sluice_exchanges_active', 'sluice_extproc_streams_active'])
          await eventually(async () => (await sample(pages, gauge)) === 0);
        expect((await endpoints(pages)).map(({ inFlight }) => inFlight)).toEqual([0, 0, 0]);
        const report = await ask(child, 'heap');
        return report.kind === 'heap' ? report.heapUsed : Number.NaN;
      }

      const heaps: number[] = [];
      for (let turn = 0; turn < 2; turn++) {
        const ends = await round(port);
        expect([...ends.values()].reduce((sum, count) => sum + count)).toBe(exchanges);
        expect(ends.get('left')).toBe(exchanges / 5);
        expect(ends.get('400')).toBe(exchanges / 10);
        expect(ends.get('404')).toBe(exchanges / 10);
        expect(ends.get('broken')).toBeGreaterThan(0);
        expect(ends.get('200')).toBeGreaterThan(exchanges / 2);
        heaps.push(await settledHeap());
      }
      // The first round fills what is bounded. One kilobyte kept of each exchange would be twice as much as this.
      expect(heaps[1]! - heaps[0]!).toBeLessThan((exchanges * 1024) / 2);
      child.send('stop');
      await once(child, 'exit');
      expect(child.exitCode).toBe(0);
    } finally {
      if (child.exitCode === null) child.kill('SIGKILL');
      await Promise.all(engines.map((engine) => engine.stop()));
    }
  }, 120_000);
});
