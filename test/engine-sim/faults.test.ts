import { describe, expect, it } from '@jest/globals';
import { Faults, faultSchema } from '../../src/engine-sim/faults.ts';
import { eventData, openPost, post, startEngine, until } from './support.ts';

const body = { model: 'm', prompt: 'Hello', max_tokens: 8, ignore_eos: true };

describe('Faults', () => {
  it('strikes() so many requests, or a share of them', () => {
    const faults = new Faults(1);
    faults.set(faultSchema.parse({ mode: 'reset', count: 2 }));
    expect([1, 2, 3].map(() => faults.strikes('reset'))).toEqual([true, true, false]);
    expect(faults.strikes('error-500')).toBe(false);
    faults.set(faultSchema.parse({ mode: 'error-500', rate: 0.25 }));
    const struck = Array.from({ length: 1000 }, () => faults.strikes('error-500')).filter(Boolean).length;
    expect(Math.abs(struck - 250)).toBeLessThan(50);
  });
});

describe('POST /sim/faults', () => {
  it('says what is in force, and refuses what it does not know', async () => {
    const { url } = await startEngine();
    expect(await post(`${url}/sim/faults`, { mode: 'slow' })).toEqual({
      status: 200,
      text: '{"mode":"slow","factor":10}',
    });
    expect(await (await fetch(`${url}/sim/faults`)).json()).toEqual({ mode: 'slow', factor: 10 });
    expect(await post(`${url}/sim/faults`, { mode: 'melt' })).toMatchObject({ status: 400 });
    expect(await post(`${url}/sim/faults`, { mode: 'slow', factr: 2 })).toMatchObject({ status: 400 });
    expect(await (await fetch(`${url}/sim/faults`)).json()).toEqual({ mode: 'slow', factor: 10 });
  });

  it('error-500 strikes inference and nothing else', async () => {
    const { url } = await startEngine();
    await post(`${url}/sim/faults`, { mode: 'error-500', count: 1 });
    expect((await fetch(`${url}/v1/models`)).status).toBe(200);
    expect((await fetch(`${url}/health`)).status).toBe(200);
    expect((await post(`${url}/v1/completions`, body)).status).toBe(500);
    expect((await post(`${url}/v1/completions`, body)).status).toBe(200);
  });

  it('unavailable-503 strikes inference and health', async () => {
    const { url } = await startEngine();
    await post(`${url}/sim/faults`, { mode: 'unavailable-503' });
    expect((await post(`${url}/v1/completions`, body)).status).toBe(503);
    expect((await fetch(`${url}/health`)).status).toBe(503);
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
    await post(`${url}/sim/faults`, { mode: 'none' });
    expect((await fetch(`${url}/health`)).status).toBe(200);
  });

  it('drop-mid-stream destroys the connection after so many tokens, and ends the request in the engine', async () => {
    const engine = await startEngine();
    await post(`${engine.url}/sim/faults`, { mode: 'drop-mid-stream', afterTokens: 3 });
    const { rest } = await openPost(`${engine.url}/v1/completions`, { ...body, stream: true });
    const { text, complete } = await rest;
    expect(complete).toBe(false);
    expect(eventData(text)).toHaveLength(3);
    await until(() => engine.stats().running === 0);
    expect(engine.stats().usedBlocks).toBe(0);
    await expect(post(`${engine.url}/v1/completions`, body)).rejects.toThrow();
  });

  it('reset destroys the connection before any answer', async () => {
    const engine = await startEngine();
    engine.setFault({ mode: 'reset', count: 1 });
    await expect(post(`${engine.url}/v1/completions`, body)).rejects.toThrow();
    expect((await post(`${engine.url}/v1/completions`, body)).status).toBe(200);
    expect(engine.stats().totals.promptTokens).toBe(2);
  });

  it('hang holds requests until it ends; of scope http, everything', async () => {
    const engine = await startEngine();
    engine.setFault({ mode: 'hang' });
    const held = post(`${engine.url}/v1/completions`, body);
    await until(() => engine.stats().running + engine.stats().waiting === 1);
    expect((await fetch(`${engine.url}/health`)).status).toBe(200);

    engine.setFault({ mode: 'hang', scope: 'http' });
    const health = fetch(`${engine.url}/health`);
    const metrics = fetch(`${engine.url}/metrics`);
    expect((await fetch(`${engine.url}/sim/state`)).status).toBe(200);
    expect(
      await Promise.race([health, metrics, held, fetch(`${engine.url}/sim/faults`).then(() => 'sim')]),
    ).toBe('sim');
    engine.setFault({ mode: 'none' });
    expect((await held).status).toBe(200);
    expect((await health).status).toBe(200);
    expect((await metrics).status).toBe(200);
  });

  it('slow stretches the steps', async () => {
    const engine = await startEngine({ speed: 1000 });
    engine.setFault({ mode: 'slow', factor: 100 });
    expect((await post(`${engine.url}/v1/completions`, body)).status).toBe(200);
    const page = await (await fetch(`${engine.url}/metrics`)).text();
    // Eight steps of 6.4 virtual ms and more, a hundred times longer, at a thousand times the speed.
    const latency = Number(/^vllm:e2e_request_latency_seconds_sum\S* (\S+)$/m.exec(page)?.[1]);
    expect(latency).toBeGreaterThan(0.00512);
  });

  it('stale-metrics freezes the page', async () => {
    const engine = await startEngine();
    const page = async () => (await fetch(`${engine.url}/metrics`)).text();
    engine.setFault({ mode: 'stale-metrics' });
    const before = await page();
    await post(`${engine.url}/v1/completions`, body);
    expect(await page()).toBe(before);
    engine.setFault({ mode: 'none' });
    expect(await page()).not.toBe(before);
  });

  it('hang-metrics holds the page and nothing else', async () => {
    const engine = await startEngine();
    engine.setFault({ mode: 'hang-metrics' });
    const held = fetch(`${engine.url}/metrics`);
    expect((await post(`${engine.url}/v1/completions`, body)).status).toBe(200);
    engine.setFault({ mode: 'none' });
    expect((await held).status).toBe(200);
  });

  it('refuse closes the port after its own reply, and opens it again', async () => {
    const engine = await startEngine();
    expect((await post(`${engine.url}/sim/faults`, { mode: 'refuse', forMs: 600_000 })).status).toBe(200);
    await expect(fetch(`${engine.url}/health`)).rejects.toThrow();
    engine.setFault({ mode: 'none' });
    expect((await fetch(`${engine.url}/health`)).status).toBe(200);
    engine.setFault({ mode: 'refuse', forMs: 1 });
    await until(async () => (await fetch(`${engine.url}/health`).catch(() => undefined))?.status === 200);
    expect(await (await fetch(`${engine.url}/sim/faults`)).json()).toEqual({ mode: 'none' });
  });
});
