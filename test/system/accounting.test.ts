import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { FaultInput } from '../../src/engine-sim/faults.ts';
import { envoyWithoutAccessLog, fullDuplexEnvoy } from '../support/attached-envoys.ts';
import { eventually } from '../support/eventually.ts';
import { leftOver, ledger, nothingLeft } from '../support/fairness-pages.ts';
import { startGateway, type ExchangeLine, type Gateway, type GatewayOptions } from '../support/gateway.ts';
import { samples } from '../support/metrics-page.ts';
import { streamChats } from '../support/openai-python.ts';
import { begin, userOf, usersByHeader, type Asked } from '../support/users.ts';

const usage = { stream_options: { include_usage: true } };
const steady = {
  stream_options: { include_usage: true, continuous_usage_stats: true },
};

interface Kind {
  readonly path: string;
  readonly body: object;
  /** What a stream ends with. */
  readonly last?: string;
}

const chatPath = '/v1/chat/completions';
const chat = { messages: [{ role: 'user', content: 'Grüße aus Kassel' }], ignore_eos: true };
const text = { prompt: 'Es war einmal', ignore_eos: true };
const stream = { stream: true };
const done = 'data: [DONE]';

/** Requests of every API that tells a usage; without `n`, for which engines count a prompt several times and charge it once. */
const kinds: readonly Kind[] = [
  { path: chatPath, body: { ...chat, max_tokens: 7 } },
  { path: chatPath, body: { ...chat, max_tokens: 11, ...stream }, last: done },
  { path: chatPath, body: { ...chat, max_tokens: 12, ...stream, ...usage }, last: done },
  { path: chatPath, body: { ...chat, max_tokens: 9, ...stream, ...steady }, last: done },
  { path: '/v1/completions', body: { ...text, max_tokens: 6 } },
  { path: '/v1/completions', body: { ...text, prompt: ['Es war', 'einmal'], max_tokens: 6 } },
  { path: '/v1/completions', body: { ...text, max_tokens: 8, ...stream }, last: done },
  { path: '/v1/completions', body: { ...text, max_tokens: 9, ...stream, ...usage }, last: done },
  { path: '/v1/embeddings', body: { input: ['one', 'two and three'] } },
  // More than Envoy's filters hold back.
  { path: '/v1/embeddings', body: { input: Array.from({ length: 400 }, (_, n) => `number ${n}`) } },
  { path: '/v1/responses', body: { input: 'Hello', max_output_tokens: 6 } },
  {
    path: '/v1/responses',
    body: { input: 'Hello', max_output_tokens: 7, ...stream },
    last: '"total_tokens":',
  },
  { path: '/v1/messages', body: { ...chat, max_tokens: 5 } },
  { path: '/v1/messages', body: { ...chat, max_tokens: 10, ...stream }, last: 'event: message_stop' },
];

const gateways: readonly (readonly [string, string, GatewayOptions])[] = [
  ['the access log of the Envoy that Sluice runs', '', {}],
  ['the same, without hiding what clients did not ask for', 'usage: { hideChunk: false, sampleRate: 0 }', {}],
  ['streamed bodies', 'usage: { source: streamed }', {}],
  ['an Envoy without access log', '', envoyWithoutAccessLog],
  ['an Envoy that sends bodies FULL_DUPLEX_STREAMED', '', fullDuplexEnvoy],
];

interface Counts {
  readonly input: number;
  readonly output: number;
}

interface Charged extends Counts {
  readonly estimated: number;
}

/** What the engines say they computed. */
async function counted({ engines }: Gateway): Promise<Counts> {
  const pages = await Promise.all(engines.map(async ({ url }) => (await fetch(`${url}/metrics`)).text()));
  const sum = (metric: string): number =>
    pages.reduce(
      (total, page) => total + Number(new RegExp(`^${metric}\\{.*\\} (\\S+)$`, 'm').exec(page)?.[1]),
      0,
    );
  return { input: sum('vllm:prompt_tokens_total'), output: sum('vllm:generation_tokens_total') };
}

/** What Sluice has charged. */
async function charged(gateway: Gateway): Promise<Charged> {
  const tokens = await samples(gateway, 'sluice_ledger_tokens_total');
  const of = (type: string): number => tokens.get(`model="m",type="${type}"`) ?? 0;
  return { input: of('input'), output: of('output'), estimated: of('estimated') };
}

function ask(gateway: Gateway, user: string, { path, body }: Kind): Asked {
  return begin(gateway, user, { path, body: JSON.stringify({ model: 'm', ...body }) });
}

/** Reads until the text has come, then hangs up; returns all that was read. */
async function hangUpAt(asked: Asked, last: string): Promise<string> {
  const response = await asked.head;
  response.setEncoding('utf8').on('error', () => undefined);
  let read = '';
  await new Promise<void>((resolve, reject) => {
    response.once('close', () => reject(new Error(`The response ended before ${last}:\n${read}`)));
    response.on('data', (chunk: string) => {
      read += chunk;
      if (read.includes(last)) resolve();
    });
  });
  asked.outgoing.destroy();
  return read;
}

const lineOf = (gateway: Gateway, { id }: Asked): Promise<ExchangeLine> =>
  gateway.exchange(({ requestId }) => requestId === id);

/** What was used is known a moment after a response has ended; gives up where it never becomes what engines counted. */
async function untilCharged(gateway: Gateway): Promise<void> {
  await eventually(async () => {
    const [ours, theirs] = [await charged(gateway), await counted(gateway)];
    return ours.input === theirs.input && ours.output === theirs.output;
  }).catch(() => undefined);
}

describe.each(gateways)('the ledger, by %s', (_, config, options) => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      engines: [0, 1].map((seed) => ({ seed, speed: 20 })),
      config: `${usersByHeader}\nfairness: { enabled: true }\n${config}`,
      ...options,
    });
  }, 60_000);
  afterAll(() => gateway.stop());
  afterEach(async () => {
    expect(await leftOver(gateway)).toEqual(nothingLeft);
    expect(gateway.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  let asked = 0;

  it('has what the engines have counted, to the token, whoever asked for what', async () => {
    const rounds = ['ann', 'bob', 'cid'];
    for (const user of rounds) {
      const replies = await Promise.all(kinds.map((kind) => ask(gateway, user, kind).reply));
      expect(replies.map(({ status }) => status)).toEqual(kinds.map(() => 200));
    }
    asked += rounds.length * kinds.length;
    await untilCharged(gateway);
    expect(await charged(gateway)).toEqual({ ...(await counted(gateway)), estimated: 0 });
  }, 30_000);

  it('has it also of clients that hang up as soon as they have read the end', async () => {
    const streams = kinds.flatMap(({ last, ...kind }) => (last === undefined ? [] : [{ last, kind }]));
    for (let round = 0; round < 5; round++)
      await Promise.all(streams.map(({ kind, last }) => hangUpAt(ask(gateway, 'dot', kind), last)));
    asked += 5 * streams.length;
    await untilCharged(gateway);
    expect(await charged(gateway)).toEqual({ ...(await counted(gateway)), estimated: 0 });
  }, 30_000);

  it('has it also of the openai Python client, which sees no chunk that it did not ask for', async () => {
    const seen = await streamChats(gateway.url, 10, 'eve');
    asked += 10;
    const hidden = !config.includes('hideChunk: false');
    expect(seen).toEqual({
      streams: 10,
      tokens: 95,
      usageChunks: hidden ? 0 : 10,
      emptyChunks: hidden ? 0 : 10,
    });
    await untilCharged(gateway);
    expect(await charged(gateway)).toEqual({ ...(await counted(gateway)), estimated: 0 });
  }, 30_000);

  it('has it for each caller', async () => {
    const entries = await ledger(gateway);
    expect(entries.map(({ principal }) => principal.split(':').at(-1)).sort()).toEqual([
      'ann',
      'bob',
      'cid',
      'dot',
      'eve',
    ]);
    const sum = (of: (entry: (typeof entries)[number]) => number): number =>
      entries.reduce((total, entry) => total + of(entry), 0);
    expect({
      input: sum(({ inputTokens }) => inputTokens),
      output: sum(({ outputTokens }) => outputTokens),
    }).toEqual(await counted(gateway));
    expect(sum(({ requests }) => requests)).toBe(asked);
    for (const { weightedTokens, inputTokens, outputTokens, estimatedShare } of entries) {
      expect(weightedTokens).toBe(inputTokens + 2 * outputTokens);
      expect(estimatedShare).toBe(0);
    }
  });
});

describe('a stream that breaks off', () => {
  const endless = { ...chat, max_tokens: 2000, ...stream };
  const inBodies = 'usage: { source: streamed }';
  const inLog = 'usage: { sampleRate: 0 }';
  const chats = (more: object = {}): Kind => ({ path: chatPath, body: { ...endless, ...more } });
  const texts: Kind = { path: '/v1/completions', body: { ...endless, ...text, ...usage } };
  const messages: Kind = { path: '/v1/messages', body: endless };

  interface Way {
    readonly config: string;
    readonly options?: GatewayOptions;
    readonly kind: Kind;
    /** What the log calls a stream whose engine died; only Envoy's access log can tell that from a client that left. */
    readonly death: 'failed' | 'aborted';
    /** How far the charge may be off, as a share: chunks are counted, bytes are measured. */
    readonly off: number;
  }
  const ways: readonly (readonly [string, Way])[] = [
    ['whose usage is hidden', { config: '', kind: chats(), death: 'failed', off: 0 }],
    ['that Sluice sees', { config: inBodies, kind: chats(usage), death: 'aborted', off: 0 }],
    [
      'that tells its usage in every chunk',
      { config: inBodies, kind: chats(steady), death: 'aborted', off: 0 },
    ],
    [
      'without access log',
      { config: '', options: envoyWithoutAccessLog, kind: chats(usage), death: 'aborted', off: 0 },
    ],
    [
      'FULL_DUPLEX_STREAMED',
      { config: '', options: fullDuplexEnvoy, kind: chats(), death: 'aborted', off: 0 },
    ],
    ['that only Envoy sees', { config: inLog, kind: chats(usage), death: 'failed', off: 0.1 }],
    ['of text that only Envoy sees', { config: inLog, kind: texts, death: 'failed', off: 0.1 }],
    ['of a message, which begins with a usage', { config: inLog, kind: messages, death: 'failed', off: 0.1 }],
  ];

  describe.each(ways)('%s', (_, { config, options, kind, death, off }) => {
    let gateway: Gateway;
    let promptTokens: number;
    beforeAll(async () => {
      gateway = await startGateway({
        engines: [{ speed: 10 }],
        config: `${usersByHeader}\nfairness: { enabled: true }\n${config}`,
        ...options,
      });
      // From now on it is known how many bytes a token has, in and out.
      const whole = ask(gateway, 'ann', { ...kind, body: { ...kind.body, max_tokens: 100 } });
      expect((await whole.reply).status).toBe(200);
      expect(await lineOf(gateway, whole)).toMatchObject({ outcome: 'completed', outputTokens: 100 });
      promptTokens = (await counted(gateway)).input;
    }, 60_000);
    afterAll(() => gateway.stop());
    afterEach(async () => {
      gateway.engines[0]!.setFault({ mode: 'none' });
      expect(await leftOver(gateway)).toEqual(nothingLeft);
    });

    /** Checks line, counters and ledger page of the first stream of a caller, which had brought so many tokens. */
    async function isCharged(
      asked: Asked,
      outcome: string,
      produced: number,
      before: Charged,
    ): Promise<void> {
      const line = await lineOf(gateway, asked);
      expect(line).toMatchObject({ status: 200, outcome, estimatedInputTokens: promptTokens });
      const output = Number(line['estimatedOutputTokens']);
      expect(Math.abs(output - produced)).toBeLessThanOrEqual(off * produced);
      expect(line['msg']).toContain(`${promptTokens}+${output} tokens`);

      const after = await charged(gateway);
      expect(after.input - before.input).toBe(promptTokens);
      expect(after.output - before.output).toBe(output);
      expect(after.estimated - before.estimated).toBe(promptTokens + output);
      const entry = (await ledger(gateway)).find(({ principal }) =>
        principal.endsWith(`:${userOf(asked.id)}`),
      );
      expect(entry).toMatchObject({ requests: 1, outputTokens: output, estimatedShare: 1 });
    }

    it('because the client leaves is charged with what had been produced, as an estimate', async () => {
      const [engine] = gateway.engines;
      const before = await charged(gateway);
      const computed = (await counted(gateway)).output;
      const asked = ask(gateway, 'bob', kind);
      let read = '';
      const response = await asked.head;
      response.setEncoding('utf8').on('error', () => undefined);
      response.on('data', (chunk: string) => (read += chunk));
      await eventually(() => piecesIn(read) >= 30);
      engine!.setFault({ mode: 'hang' });
      const produced = async (): Promise<number> => (await counted(gateway)).output - computed;
      await eventually(async () => piecesIn(read) === (await produced()));
      asked.outgoing.destroy();
      await isCharged(asked, 'aborted', await produced(), before);
    });

    it('because the engine dies is charged likewise', async () => {
      const before = await charged(gateway);
      gateway.engines[0]!.setFault({ mode: 'drop-mid-stream', afterTokens: 40, count: 1 });
      const asked = ask(gateway, 'cid', kind);
      await expect(asked.reply).rejects.toThrow('aborted');
      await isCharged(asked, death, 40, before);
    });
  });
});

/** How many events of a stream have brought text. */
function piecesIn(events: string): number {
  return events.split('\n').filter((line) => /"(content|text)":"[^"]/.test(line)).length;
}

describe('an exchange without a response of an engine', () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway({
      engines: 1,
      config: `${usersByHeader}\nfairness: { enabled: true }`,
    });
  }, 60_000);
  afterAll(() => gateway.stop());
  afterEach(async () => {
    gateway.engines[0]!.setFault({ mode: 'none' });
    expect(await leftOver(gateway)).toEqual(nothingLeft);
    expect(await charged(gateway)).toEqual({ input: 0, output: 0, estimated: 0 });
    expect((await ledger(gateway)).map(({ requests }) => requests)).toEqual([]);
  });

  it.each<[string, FaultInput, object, number]>([
    ['that it fails', { mode: 'error-500' }, { max_tokens: 5 }, 500],
    ['that it fails with a stream', { mode: 'error-500' }, { max_tokens: 5, ...stream }, 500],
    ['that it is not there', { mode: 'unavailable-503' }, { max_tokens: 5 }, 503],
    ['that the request is wrong', { mode: 'none' }, { max_tokens: 0 }, 400],
    ['nothing', { mode: 'reset' }, { max_tokens: 5 }, 503],
  ])('costs nothing where the engine says %s', async (__, fault, body, status) => {
    gateway.engines[0]!.setFault(fault);
    const asked = ask(gateway, 'ann', { path: chatPath, body: { ...chat, ...body } });
    expect((await asked.reply).status).toBe(status);
    const line = await lineOf(gateway, asked);
    expect(line).toMatchObject({ status });
    expect(line['estimatedInputTokens']).toBeUndefined();
  });

  it('costs nothing where the client leaves before there is any', async () => {
    const [engine] = gateway.engines;
    engine!.setFault({ mode: 'hang' });
    const asked = ask(gateway, 'ann', { path: chatPath, body: { ...chat, max_tokens: 5 } });
    await eventually(() => engine!.stats().running + engine!.stats().waiting === 1);
    const [entry] = await ledger(gateway);
    expect(entry).toMatchObject({ requests: 0, reserved: { requests: 1, outputTokens: 5 } });
    asked.outgoing.destroy();
    expect(await lineOf(gateway, asked)).toMatchObject({ status: 0, outcome: 'aborted' });
  });
});
