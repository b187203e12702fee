import { describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { FakeClock } from '../support/fake-clock.ts';
import { openPost, post, startEngine, until } from './support.ts';

const body = { model: 'm', prompt: 'Hello', max_tokens: 4 };

describe('startSimulatedEngine()', () => {
  it.each([
    ['GET', '/health', 200, ''],
    ['GET', '/ping', 200, ''],
    ['GET', '/version', 200, '{"version":"0.11.0+sluice.sim"}'],
    ['GET', '/nowhere', 404, '{"error":{"message":"Not Found","type":"Not Found","param":null,"code":404}}'],
    [
      'GET',
      '/v1/completions',
      405,
      '{"error":{"message":"Method Not Allowed","type":"Method Not Allowed","param":null,"code":405}}',
    ],
    [
      'GET',
      '/sim/nothing',
      404,
      '{"error":{"message":"Not Found","type":"Not Found","param":null,"code":404}}',
    ],
  ])('answers %s %s with %d', async (method, path, status, text) => {
    const { url } = await startEngine();
    const response = await fetch(`${url}${path}`, { method });
    expect([response.status, await response.text()]).toEqual([status, text]);
  });

  it('aborts in the engine what its client no longer waits for, streamed or not', async () => {
    const engine = await startEngine({ speed: 1 });
    const long = { ...body, max_tokens: 100_000, ignore_eos: true };
    const { response: streamed } = await openPost(`${engine.url}/v1/completions`, { ...long, stream: true });
    const aborter = new AbortController();
    const whole = fetch(`${engine.url}/v1/completions`, {
      method: 'POST',
      body: JSON.stringify(long),
      signal: aborter.signal,
    });
    await until(() => engine.stats().running === 2);
    streamed.destroy();
    aborter.abort();
    await expect(whole).rejects.toThrow();
    await until(() => engine.stats().running === 0);
    expect(engine.stats()).toMatchObject({ waiting: 0, usedBlocks: 0 });
    expect(engine.requests().map((entry) => entry.outcome)).toEqual(['aborted', 'aborted']);
    const page = await (await fetch(`${engine.url}/metrics`)).text();
    expect(page).toContain(
      'vllm:request_success_total{engine="0",finished_reason="abort",model_name="m"} 2.0',
    );
  });

  it('queues a request only when its body is whole', async () => {
    const engine = await startEngine();
    const text = JSON.stringify(body);
    let finish: () => void = () => undefined;
    const slowBody = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from(text.slice(0, 10)));
        finish = () => {
          controller.enqueue(Buffer.from(text.slice(10)));
          controller.close();
        };
      },
    });
    const reply = fetch(`${engine.url}/v1/completions`, { method: 'POST', body: slowBody, duplex: 'half' });
    await until(() => engine.requests().length === 1);
    expect(engine.requests()[0]?.body).toBeUndefined();
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0 });
    finish();
    expect((await reply).status).toBe(200);
  });

  it('remembers what it received', async () => {
    const engine = await startEngine({ requestLogSize: 2 });
    await fetch(`${engine.url}/health`);
    await post(`${engine.url}/v1/nothing`, {});
    const text = JSON.stringify({ ...body, prompt: 'x'.repeat(5000) });
    await post(`${engine.url}/v1/completions?a=b`, text, { 'x-trace': 't' });
    await fetch(`${engine.url}/v1/models`);
    await until(() => engine.requests().every((entry) => entry.outcome !== 'open'));
    const seen = (await (await fetch(`${engine.url}/sim/requests`)).json()) as { requests: unknown[] };
    expect(seen.requests).toMatchObject([
      {
        sequence: 2,
        method: 'POST',
        path: '/v1/completions?a=b',
        httpVersion: '1.1',
        headers: { 'x-trace': 't' },
        body: {
          bytes: text.length,
          sha256: createHash('sha256').update(text).digest('hex'),
          head: text.slice(0, 2048),
        },
        status: 200,
        outcome: 'completed',
      },
      { sequence: 3, method: 'GET', path: '/v1/models' },
    ]);
    await fetch(`${engine.url}/sim/requests`, { method: 'DELETE' });
    expect(engine.requests()).toEqual([]);
  });

  it('says what its engine holds', async () => {
    const { url } = await startEngine();
    await post(`${url}/v1/completions`, body);
    expect(await (await fetch(`${url}/sim/state`)).json()).toMatchObject({
      running: 0,
      usedBlocks: 0,
      totalBlocks: 27_000,
      totals: { promptTokens: 2, generationTokens: 4 },
    });
  });

  it('arms one timer while there is work and none while idle', async () => {
    const clock = new FakeClock();
    const engine = await startEngine({ clock, speed: 1 });
    expect(clock.pending).toBe(0);
    const replies = [post(`${engine.url}/v1/completions`, body), post(`${engine.url}/v1/completions`, body)];
    await until(() => engine.stats().running + engine.stats().waiting === 2);
    expect(clock.pending).toBe(1);
    clock.advance(1000);
    await Promise.all(replies);
    expect(clock.pending).toBe(0);
  });

  it('answers alike from every engine with the same seed', async () => {
    const [one, two, other] = await Promise.all([
      startEngine({ seed: 3 }),
      startEngine({ seed: 3 }),
      startEngine({ seed: 4 }),
    ]);
    const texts = await Promise.all(
      [one, two, other].map(async ({ url }) => {
        const reply = JSON.parse((await post(`${url}/v1/completions`, body)).text) as {
          choices: { text: string }[];
        };
        return reply.choices[0]?.text;
      }),
    );
    expect(texts[1]).toBe(texts[0]);
    expect(texts[2]).not.toBe(texts[0]);
  });

  it('names the port that is in use', async () => {
    const { port } = await startEngine();
    await expect(startEngine({ port })).rejects.toThrow(
      `Cannot listen on "127.0.0.1:${port}": the port is in use`,
    );
  });

  it('stop() destroys open streams', async () => {
    const engine = await startEngine({ speed: 1 });
    const { rest } = await openPost(`${engine.url}/v1/completions`, {
      ...body,
      max_tokens: 100_000,
      ignore_eos: true,
      stream: true,
    });
    await engine.stop();
    expect((await rest).complete).toBe(false);
    await expect(fetch(`${engine.url}/health`)).rejects.toThrow();
  });
});
