import { describe, expect, it } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { chatBody } from '../support/chat.ts';
import { descendants, isAlive, startChild } from '../support/child.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { send } from '../support/http-client.ts';

describe('npm run demo', () => {
  it('says what to try, serves it, shows the decision, follows its file, and is gone after Ctrl-C', async () => {
    const port = await freePort();
    const demo = startChild('npm', ['run', '--silent', 'demo', '--', '--port', String(port)]);
    let started: number[] = [];
    try {
      expect(await demo.line(/Ready: /)).toContain(`http://localhost:${port}`);
      await demo.line(/Ctrl-C stops everything/);
      expect(demo.lines.join('\n')).toContain(`curl -N http://localhost:${port}/v1/chat/completions`);
      // Sluice, the engines, Envoy at least.
      started = descendants(demo.pid);
      expect(started.length).toBeGreaterThanOrEqual(3);

      const body = (stream: boolean): string =>
        chatBody({ prompt: 'Hello!', stream, tokens: 4 }).replace('"m"', '"demo"');
      await eventually(async () => (await send(port, { body: body(false) })).status === 200);
      const plain = await send(port, { body: body(false) });
      expect(plain.json).toMatchObject({ model: 'demo', usage: { completion_tokens: 4 } });
      const streamed = await send(port, { body: body(true) });
      expect(streamed.body).toMatch(/data: \[DONE\]\n\n$/);
      const decision =
        /POST \/v1\/chat\/completions demo \S+ 127\.0\.0\.1:\d+ of 3 \(score \d\.\d\d\) 200 completed/;
      await demo.line(decision);
      await eventually(() => demo.lines.filter((line) => decision.test(line)).length >= 3);

      const file = /Edit (\S+) and save it/.exec(demo.lines.join('\n'))?.[1] ?? '';
      const example = await readFile(file, 'utf8');
      await writeFile(file, example.replace(/( +- name: prefix-cache[^\n]*\n +weight:) 1/, '$1 100'));
      await demo.line(/The new configuration is in effect/);
      await send(port, { body: body(false) });
      await demo.line(/demo \S+ 127\.0\.0\.1:\d+ of 3 \(score \d\d+\.\d\d\) 200 completed/);

      demo.interrupt();
      await demo.exited;
      await eventually(() => !started.some(isAlive));
    } finally {
      await demo.end();
      for (const pid of started.filter(isAlive)) process.kill(pid, 'SIGKILL');
    }
  }, 60_000);
});
