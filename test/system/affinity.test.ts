import { afterEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import type { ClientRequest } from 'node:http';
import { chat, chatBody, longPrompt } from '../support/chat.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { responseOf, startRequest } from '../support/http-client.ts';
import { endpoints, untilIdle } from '../support/pages.ts';
import { exchangeOf } from '../support/refusals.ts';

/** The default profile, without the metrics that would let a busy test machine decide. */
const blind = 'scrape: { interval: 60s, staleAfter: 120s }';

let gateway: Gateway;
const open = new Set<ClientRequest>();
afterEach(async () => {
  for (const outgoing of open) outgoing.destroy();
  open.clear();
  await untilIdle(gateway);
  await gateway.stop();
});

async function serverOf(prompt: string): Promise<unknown> {
  const reply = await chat(gateway, { prompt });
  expect(reply.status).toBe(200);
  return (await exchangeOf(gateway, reply))['servedBy'];
}

/** Begins a stream that runs until the test ends; returns who serves it. */
async function hold(prompt: string): Promise<unknown> {
  const before = new Map((await endpoints(gateway)).map(({ id, inFlight }) => [id, inFlight]));
  const outgoing = startRequest(gateway.port, { body: chatBody({ prompt, tokens: 100_000, stream: true }) });
  open.add(outgoing);
  await once(await responseOf(outgoing), 'data');
  return (await endpoints(gateway)).find(({ id, inFlight }) => inFlight > before.get(id)!)?.id;
}

function countEach(values: readonly unknown[]): number[] {
  const counts = new Map<unknown, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts.values()].toSorted((a, b) => a - b);
}

describe('prompts with the same beginning', () => {
  it('land on the engine that has it in its cache, each prompt on its own', async () => {
    gateway = await startGateway({ config: blind });
    const prompts = ['one', 'two', 'three', 'four', 'five', 'six'].map((name) => longPrompt(name));
    const homes: unknown[] = [];
    for (const prompt of prompts) homes.push(await serverOf(prompt));
    expect(countEach(homes)).toEqual([2, 2, 2]);
    for (let turn = 0; turn < 3; turn++) {
      for (const [index, prompt] of prompts.entries())
        expect(await serverOf(`${prompt} turn ${turn}`)).toBe(homes[index]);
    }
    const cached = gateway.lines.filter((line) => Number(line['cachedTokens']) > 0);
    expect(cached).toHaveLength(18);
  }, 30_000);

  it('go elsewhere once their engine has a full load, and return when it has not', async () => {
    gateway = await startGateway({ engines: [1, 2, 3].map((seed) => ({ seed, speed: 1 })), config: blind });
    const prompt = longPrompt('busy');
    const home = await serverOf(prompt);
    const held: unknown[] = [];
    while (held.length < 12) held.push(await hold(prompt));
    // A cached prompt is worth as much as the load scale: ten requests more than the idlest has.
    expect(held.slice(0, 10)).toEqual(Array(10).fill(home));
    expect(held.slice(11)).not.toContain(home);

    for (const outgoing of open) outgoing.destroy();
    open.clear();
    await untilIdle(gateway);
    expect([home, held[11]]).toContain(await serverOf(`${prompt} again`));
  }, 30_000);

  it('stay together from the first moment, also when they arrive at once', async () => {
    gateway = await startGateway({ config: blind });
    const prompt = longPrompt('burst');
    const homes = await Promise.all(Array.from({ length: 8 }, (_, index) => serverOf(`${prompt} ${index}`)));
    expect(countEach(homes)).toEqual([8]);
  }, 30_000);
});

describe('prompts that have nothing in common', () => {
  it('take turns among idle engines', async () => {
    gateway = await startGateway({ config: blind });
    const homes: unknown[] = [];
    for (let turn = 0; turn < 9; turn++) homes.push(await serverOf(`${turn}`));
    expect(countEach(homes)).toEqual([3, 3, 3]);
    expect(homes.slice(3)).toEqual(homes.slice(0, 6));
  }, 30_000);

  it('spread by load when they arrive at once', async () => {
    gateway = await startGateway({ config: blind });
    const homes = await Promise.all(
      Array.from({ length: 24 }, (_, index) => serverOf(longPrompt(`burst${index}`, 40))),
    );
    for (const count of countEach(homes)) expect(Math.abs(count - 8)).toBeLessThanOrEqual(1);
  }, 30_000);
});
