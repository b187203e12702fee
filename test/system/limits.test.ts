import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { profileSchema } from '../../src/engine-sim/profile.ts';
import type { SimulatedEngine } from '../../src/engine-sim/server.ts';
import { envoyWithoutAccessLog, fullDuplexEnvoy } from '../support/attached-envoys.ts';
import { bearer, untilReady } from '../support/callers.ts';
import { eventually } from '../support/eventually.ts';
import { leftOver, limits, nothingLeft, untilWaiting, type LimitView } from '../support/fairness-pages.ts';
import { startGateway, type Gateway, type GatewayOptions } from '../support/gateway.ts';
import type { Reply } from '../support/http-client.ts';
import { startIssuer, type Issuer } from '../support/issuer.ts';
import { samples } from '../support/metrics-page.ts';
import { expectRefusal, requestsAtEngines } from '../support/refusals.ts';
import { replaceFile } from '../support/replace-file.ts';
import { begin, type Asked, type Question } from '../support/users.ts';

/** Every answer has five tokens, unless it is told to have fewer, or more. */
const briefEngine = { profile: profileSchema.parse({ outputTokensMedian: 5, outputTokensSigma: 0 }) };

/** A chat whose answer is as long as the engine likes. */
function chat(more: object = {}): string {
  return JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'Hello' }], ...more });
}

/** What responses say of what is left. */
function rateLimits({ headers }: Pick<Reply, 'headers'>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith('x-ratelimit-')));
}

/** Asks again on the same connection, so that nothing lies between an answer and the next request. */
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
afterAll(() => agent.destroy());

describe('limits', () => {
  let folder: string;
  let issuer: Issuer;
  let gateway: Gateway;
  let engine: SimulatedEngine;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
    issuer = await startIssuer();
    await writeFile(configFile(), configWith({}));
    gateway = await startGateway({
      engines: [{ ...briefEngine, speed: 20, adapters: ['adapter'], requestLogSize: 5000 }],
      configFile: configFile(),
    });
    engine = gateway.engines[0]!;
    await untilReady(gateway);
  }, 60_000);
  afterAll(async () => {
    await gateway.stop();
    await issuer.stop();
    await rm(folder, { recursive: true });
  });
  afterEach(async () => {
    engine.setFault({ mode: 'none' });
    expect(await leftOver(gateway)).toEqual(nothingLeft);
    expect(gateway.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  const configFile = (): string => path.join(folder, 'sluice.yaml');

  function configWith(sections: object): string {
    return JSON.stringify({ auth: issuer.section, log: { subjects: 'plain' }, ...sections });
  }

  async function configure(sections: object): Promise<void> {
    await replaceFile(configFile(), configWith(sections));
    await gateway.app.reload();
    expect(await gateway.admin('/health')).toMatchObject({ config: { lastReloadSuccessful: true } });
  }

  const limit = (...rules: readonly object[]): Promise<void> => configure({ limits: { rules } });

  async function begins(sub: string, question: Question = {}, claims: object = {}): Promise<Asked> {
    const headers = bearer(await issuer.signed({ sub, ...claims }));
    return begin(gateway, sub, { body: chat({ max_tokens: 5 }), ...question, headers });
  }

  const ask = async (...args: Parameters<typeof begins>): Promise<Reply> => (await begins(...args)).reply;

  async function statuses(count: number, ...args: Parameters<typeof begins>): Promise<readonly number[]> {
    const found: number[] = [];
    for (let i = 0; i < count; i++) found.push((await ask(...args)).status);
    return found;
  }

  async function bucket(name: string): Promise<LimitView | undefined> {
    return (await limits(gateway)).find((each) => each.limit === name);
  }

  async function isLimited(reply: Reply, name: string, bound: string): Promise<void> {
    await expectRefusal(gateway, reply, {
      status: 429,
      reason: 'rate-limited',
      type: 'rate_limit_error',
      message: `You have reached the limit "${name}" of ${bound}.`,
    });
  }

  it('of requests: each has as many as it says, and the next one is told by which limit, and for how long', async () => {
    await limit({ name: 'two an hour', requests: 2, per: 'hour' });
    const atEngines = requestsAtEngines(gateway);
    const refusals = async (): Promise<number> =>
      (await samples(gateway, 'sluice_limit_refusals_total')).get('limit="two an hour"') ?? 0;
    const before = await refusals();
    const first = await ask('ann');
    const second = await ask('ann');
    expect(rateLimits(first)).toEqual({
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '1',
      'x-ratelimit-reset-requests': expect.stringMatching(/^(30m0s|29m59\.\d+s)$/),
    });
    expect(rateLimits(second)).toMatchObject({ 'x-ratelimit-remaining-requests': '0' });
    const refused = await ask('ann');
    await isLimited(refused, 'two an hour', '2 requests per hour');
    expect(rateLimits(refused)).toMatchObject({
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '0',
    });
    const retryAfter = Number(refused.headers['retry-after']);
    expect(retryAfter).toBeGreaterThan(1700);
    expect(retryAfter).toBeLessThanOrEqual(1800);
    expect(refused.headers['x-should-retry']).toBe('false');
    expect(await refusals()).toBe(before + 1);
    expect((await ask('bob')).status).toBe(200);
    expect(requestsAtEngines(gateway)).toBe(atEngines + 3);
  });

  it('whose time is short are worth another try', async () => {
    await limit({ name: 'one a minute', requests: 1, per: 'minute' });
    expect((await ask('ann')).status).toBe(200);
    const refused = await ask('ann');
    await isLimited(refused, 'one a minute', '1 request per minute');
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(50);
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(60);
    expect(refused.headers['x-should-retry']).toBeUndefined();
  });

  it('say nothing to those who have none', async () => {
    await limit({ name: 'of bob', subjects: ['bob'], requests: 1, per: 'month' });
    expect(rateLimits(await ask('ann'))).toEqual({});
    expect(await statuses(3, 'ann')).toEqual([200, 200, 200]);
    expect(await statuses(2, 'bob')).toEqual([200, 429]);
  });

  it('of tokens: what may be used is taken, and what was not used is given back', async () => {
    await limit({ name: 'output', outputTokens: 1000, per: 'month' });
    const reply = await ask('ann', { body: chat({ max_tokens: 600 }) });
    expect(rateLimits(reply)).toMatchObject({
      'x-ratelimit-limit-tokens': '1000',
      'x-ratelimit-remaining-tokens': '400',
    });
    expect(reply.json['usage']).toMatchObject({ completion_tokens: 5 });
    await eventually(async () => Math.floor((await bucket('output'))?.outputTokens?.left ?? 0) === 995);
    expect(rateLimits(await ask('ann', { body: chat({ max_tokens: 600 }) }))).toMatchObject({
      'x-ratelimit-remaining-tokens': '395',
    });
  });

  it('of tokens: several requests at once cannot pass together, however little they will have used', async () => {
    await limit({ name: 'together', outputTokens: 1000, per: 'month' });
    engine.setFault({ mode: 'hang' });
    const first = await begins('ann', { body: chat({ max_tokens: 400, n: 2 }) });
    await eventually(() => engine.stats().running + engine.stats().waiting === 2);
    const refused = await Promise.all([1, 2, 3].map(() => ask('ann', { body: chat({ max_tokens: 400 }) })));
    for (const each of refused) await isLimited(each, 'together', '1000 output tokens per month');
    engine.setFault({ mode: 'none' });
    expect((await first.reply).status).toBe(200);
    await eventually(async () => Math.floor((await bucket('together'))?.outputTokens?.left ?? 0) === 990);
    expect((await ask('ann', { body: chat({ max_tokens: 900 }) })).status).toBe(200);
  });

  it('of tokens: what is more than all passes once all is there', async () => {
    await limit({ name: 'little', totalTokens: 100, per: 'month' });
    engine.setFault({ mode: 'hang' });
    const large = await begins('ann', { body: chat({ max_tokens: 500 }) });
    await eventually(() => engine.stats().running + engine.stats().waiting === 1);
    expect((await bucket('little'))?.totalTokens?.left).toBeLessThan(-400);
    const refused = await ask('ann');
    await isLimited(refused, 'little', '100 total tokens per month');
    expect(rateLimits(refused)).toMatchObject({ 'x-ratelimit-remaining-tokens': '0' });
    engine.setFault({ mode: 'none' });
    expect((await large.reply).status).toBe(200);
    await eventually(async () => ((await bucket('little'))?.totalTokens?.left ?? 0) > 0);
    expect((await ask('ann')).status).toBe(200);
  });

  it('of tokens: what was used beyond what was expected has to be waited for', async () => {
    await limit({ name: 'in debt', outputTokens: 300, per: 'month' });
    // Answers of this caller have been short so far.
    expect(await statuses(3, 'brief', { body: chat() })).toEqual([200, 200, 200]);
    await eventually(async () => Math.floor((await bucket('in debt'))?.outputTokens?.left ?? 0) === 285);
    const long = await ask('brief', { body: chat({ min_tokens: 700 }) });
    expect(long.status).toBe(200);
    await eventually(async () => ((await bucket('in debt'))?.outputTokens?.left ?? 0) < -400);
    const refused = await ask('brief', { body: chat() });
    await isLimited(refused, 'in debt', '300 output tokens per month');
    expect(rateLimits(refused)).toMatchObject({ 'x-ratelimit-remaining-tokens': '0' });
    // More than a month, at 300 tokens in each.
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(30 * 86_400);
  });

  it.each<[string, Question]>([
    ['a plain answer', {}],
    ['a stream', { body: chat({ stream: true, max_tokens: 5 }) }],
    [
      'a stream that tells its usage',
      { body: chat({ stream: true, max_tokens: 5, stream_options: { include_usage: true } }) },
    ],
    ['a message', { path: '/v1/messages', body: chat({ max_tokens: 5 }) }],
    ['embeddings', { path: '/v1/embeddings', body: JSON.stringify({ model: 'm', input: 'Hello' }) }],
  ])('are told with %s', async (name, question) => {
    await limit({ name: `with ${name}`, totalTokens: 1000, requests: 10, per: 'hour' });
    const reply = await ask('ann', question);
    expect(reply.status).toBe(200);
    expect(Object.keys(rateLimits(reply)).sort()).toEqual([
      'x-ratelimit-limit-requests',
      'x-ratelimit-limit-tokens',
      'x-ratelimit-remaining-requests',
      'x-ratelimit-remaining-tokens',
      'x-ratelimit-reset-requests',
      'x-ratelimit-reset-tokens',
    ]);
    const used = (await bucket(`with ${name}`))!;
    expect(Math.floor(used.requests!.left)).toBe(9);
    expect(used.totalTokens!.left).toBeLessThan(1000);
  });

  it('are told in Anthropic’s words to who speaks them', async () => {
    await limit({ name: 'no message', requests: 1, per: 'hour' });
    const question = { path: '/v1/messages', body: chat({ max_tokens: 5 }) };
    expect(await statuses(1, 'ann', question)).toEqual([200]);
    const refused = await ask('ann', question);
    expect(refused.status).toBe(429);
    expect(refused.json).toMatchObject({
      type: 'error',
      error: { type: 'rate_limit_error', message: expect.stringContaining('the limit "no message" of') },
    });
  });

  it('count a request that failed, and none of its tokens', async () => {
    await limit({ name: 'failing', outputTokens: 1000, requests: 10, per: 'month' });
    engine.setFault({ mode: 'error-500' });
    expect(await statuses(3, 'ann', { body: chat({ max_tokens: 300 }) })).toEqual([500, 500, 500]);
    await eventually(async () => (await bucket('failing'))?.outputTokens?.left === 1000);
    expect(Math.floor((await bucket('failing'))!.requests!.left)).toBe(7);
  });

  it('count nothing of a request that was never sent', async () => {
    await configure({
      fairness: { enabled: true, maxConcurrent: 1, maxQueuedPerPrincipal: 1 },
      limits: {
        rules: [{ name: 'unsent', subjects: ['ann'], outputTokens: 1000, requests: 10, per: 'month' }],
      },
    });
    engine.setFault({ mode: 'hang' });
    const first = await begins('bob');
    await eventually(() => engine.stats().running + engine.stats().waiting === 1);
    const waits = await begins('ann');
    await untilWaiting(gateway, 1);
    expect((await ask('ann')).json).toMatchObject({ error: { code: 'queue_full' } });
    waits.outgoing.destroy();
    await untilWaiting(gateway, 0);
    // Full buckets are not even listed.
    await eventually(async () => (await bucket('unsent')) === undefined);
    engine.setFault({ mode: 'none' });
    expect((await first.reply).status).toBe(200);
  });

  it.each<[string, Question]>([
    ['plain answers', {}],
    ['streams', { body: chat({ stream: true, max_tokens: 3 }) }],
    ['errors', { body: chat({ max_tokens: 0 }) }],
  ])(
    'of requests at once never stand in the way of who asks one after another: %s',
    async (name, question) => {
      await limit({ name: `one at once: ${name}`, concurrentRequests: 1 });
      expect(await statuses(100, 'ann', { ...question, agent })).not.toContain(429);
    },
  );

  it('of requests at once count those that run and those that wait, for each caller', async () => {
    await configure({
      fairness: { enabled: true, maxConcurrent: 1 },
      limits: { rules: [{ name: 'two at once', concurrentRequests: 2 }] },
    });
    engine.setFault({ mode: 'hang' });
    const runs = await begins('ann');
    await eventually(() => engine.stats().running + engine.stats().waiting === 1);
    const waits = await begins('ann');
    await untilWaiting(gateway, 1);
    const refused = await ask('ann');
    await isLimited(refused, 'two at once', '2 concurrent requests');
    expect(refused.headers['retry-after']).toBe('1');
    const other = await begins('bob');
    await untilWaiting(gateway, 2);
    expect((await limits(gateway)).map(({ owner, running }) => [owner.includes('"ann"'), running])).toEqual([
      [true, 2],
      [false, 1],
    ]);
    // Who leaves makes room, whether it ran or waited.
    waits.outgoing.destroy();
    await untilWaiting(gateway, 1);
    const third = await begins('ann');
    await untilWaiting(gateway, 2);
    runs.outgoing.destroy();
    await untilWaiting(gateway, 1);
    const fourth = await begins('ann');
    await untilWaiting(gateway, 2);
    engine.setFault({ mode: 'none' });
    for (const { reply } of [other, third, fourth]) expect((await reply).status).toBe(200);
  });

  it('of a group are those of all its members together', async () => {
    await limit(
      { name: 'each group', scope: 'group', requests: 3, per: 'month' },
      { name: 'interns', scope: 'group', groups: ['interns'], requests: 1, per: 'month' },
    );
    const red = { groups: ['red'] };
    expect(await statuses(2, 'ann', {}, red)).toEqual([200, 200]);
    expect(await statuses(2, 'bob', {}, red)).toEqual([200, 429]);
    expect(await statuses(1, 'ann', {}, { groups: ['blue'] })).toEqual([200]);
    // One who is in both needs both, and takes nothing where one is empty.
    expect(await statuses(1, 'cid', {}, { groups: ['blue', 'red'] })).toEqual([429]);
    expect(await statuses(3, 'dot', {}, { groups: ['blue'] })).toEqual([200, 200, 429]);
    const intern = { groups: ['interns', 'green'] };
    expect(await statuses(1, 'eve', {}, intern)).toEqual([200]);
    await isLimited(await ask('fay', {}, intern), 'interns', '1 request per month');
    expect(await statuses(4, 'nobody in a group')).toEqual([200, 200, 200, 200]);
  });

  it('of a model are those of all callers together, by the name that engines know', async () => {
    const rules = [
      { name: 'of the adapter', scope: 'model', models: ['adapter'], requests: 2, per: 'month' },
    ];
    await configure({ models: { aliases: { nickname: 'adapter' } }, limits: { rules } });
    const of = (model: string): Question => ({ body: chat({ max_tokens: 2, model }) });
    expect(await statuses(1, 'ann', of('adapter'))).toEqual([200]);
    expect(await statuses(1, 'bob', of('nickname'))).toEqual([200]);
    await isLimited(await ask('cid', of('adapter')), 'of the adapter', '2 requests per month');
    expect((await ask('cid', of('nickname'))).status).toBe(429);
    expect(await statuses(3, 'cid', of('m'))).toEqual([200, 200, 200]);
  });

  it('keep their level when the configuration changes, whatever else it says', async () => {
    const rule = { name: 'kept', requests: 2, per: 'month' };
    await limit(rule);
    expect(await statuses(2, 'ann')).toEqual([200, 200]);
    await limit({ ...rule, requests: 5 });
    expect((await ask('ann')).status).toBe(429);
    expect((await bucket('kept'))?.requests).toMatchObject({ of: 5 });
    await configure({
      fairness: { enabled: true },
      limits: { rules: [{ name: 'more', requests: 9, per: 'month' }, rule] },
    });
    expect((await ask('ann')).status).toBe(429);
    expect((await ask('bob')).status).toBe(200);
    await limit();
    expect((await ask('ann')).status).toBe(200);
  });

  it('keep what requests have taken that run while it changes', async () => {
    const rule = { name: 'running', concurrentRequests: 1, outputTokens: 1000, per: 'month' };
    await limit(rule);
    engine.setFault({ mode: 'hang' });
    const runs = await begins('ann', { body: chat({ max_tokens: 800 }) });
    await eventually(() => engine.stats().running + engine.stats().waiting === 1);
    await limit({ ...rule, outputTokens: 2000 });
    expect(Math.floor((await bucket('running'))!.outputTokens!.left)).toBe(200);
    await isLimited(await ask('ann', { body: chat({ max_tokens: 10 }) }), 'running', '1 concurrent request');
    engine.setFault({ mode: 'none' });
    expect((await runs.reply).status).toBe(200);
    await eventually(async () => Math.floor((await bucket('running'))?.outputTokens?.left ?? 0) === 995);
    expect((await ask('ann', { body: chat({ max_tokens: 10 }) })).status).toBe(200);
  });
});

const attached: readonly (readonly [string, GatewayOptions])[] = [
  ['an Envoy without access log', envoyWithoutAccessLog],
  ['an Envoy that sends bodies FULL_DUPLEX_STREAMED', fullDuplexEnvoy],
];

describe.each(attached)('limits behind %s', (_, options) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      engines: [{ ...briefEngine, speed: 20 }],
      config: JSON.stringify({
        fairness: { enabled: true },
        limits: {
          rules: [{ name: 'both', requests: 60, totalTokens: 3000, per: 'month', concurrentRequests: 1 }],
        },
      }),
      ...options,
    });
  }, 60_000);
  afterAll(async () => {
    expect(await leftOver(gateway)).toEqual(nothingLeft);
    await gateway.stop();
  });

  it('are told with every answer, trued up after it, and stand in nobody’s way who asks one after another', async () => {
    const bodies = [chat({ max_tokens: 10 }), chat({ max_tokens: 10, stream: true })];
    for (let i = 0; i < 60; i++) {
      const reply = await begin(gateway, 'ann', { body: bodies[i % 2]!, agent }).reply;
      expect(reply.status).toBe(200);
      expect(rateLimits(reply)).toMatchObject({
        'x-ratelimit-limit-requests': '60',
        'x-ratelimit-remaining-requests': String(59 - i),
        'x-ratelimit-limit-tokens': '3000',
      });
    }
    const refused = await begin(gateway, 'ann', { body: bodies[0]!, agent }).reply;
    await expectRefusal(gateway, refused, {
      status: 429,
      reason: 'rate-limited',
      type: 'rate_limit_error',
      message: 'You have reached the limit "both" of 60 requests per month.',
    });
    expect(refused.headers['x-should-retry']).toBe('false');
    const [bucket] = await limits(gateway);
    const counts = await samples(gateway, 'sluice_ledger_tokens_total');
    const used = counts.get('model="m",type="input"')! + counts.get('model="m",type="output"')!;
    expect(Math.floor(bucket!.totalTokens!.left)).toBe(3000 - used);
  }, 30_000);
});
