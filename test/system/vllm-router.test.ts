import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import OpenAI, { BadRequestError, NotFoundError } from 'openai';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { longPrompt } from '../support/chat.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { responseOf, send, startRequest } from '../support/http-client.ts';
import { ringOrder } from '../support/md5-ring.ts';
import {
  ask,
  askBody,
  metric,
  startEngines,
  startRouterProcess,
  total,
  untilAllServe,
  urls,
  whoServes,
  type VllmRouter,
} from '../support/vllm-router.ts';

let engines: SimulatedEngine[] = [];
let router: VllmRouter | undefined;

async function start(models: readonly string[], ...args: readonly string[]): Promise<VllmRouter> {
  engines = await startEngines(models);
  router = await startRouterProcess([
    ...['--service-discovery', 'static', '--static-backends', urls(engines)],
    ...args,
  ]);
  return router;
}

async function stopAll(): Promise<void> {
  await router?.stop();
  await Promise.all(engines.map((engine) => engine.stop()));
  router = undefined;
  engines = [];
}

/** Without the times of a line or the log's own beginning. */
const message = (line: string): string => line.replace(/^\[[^\]]*\] [A-Z]+: /, '');

async function collected<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const chunks: T[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe('vllm-router as its README starts it', () => {
  const opt = 'facebook/opt-125m';
  const llama = 'meta-llama/Llama-3.1-8B-Instruct';
  let at: VllmRouter;

  beforeAll(async () => {
    engines = await startEngines([opt, llama, opt]);
    at = router = await startRouterProcess([
      ...['--service-discovery', 'static'],
      ...['--static-backends', engines.map(({ port }) => `http://localhost:${port}`).join(',')],
      ...['--static-models', `${opt},${llama},${opt}`],
      ...['--engine-stats-interval', '10'],
      '--log-stats',
      ...['--routing-logic', 'roundrobin'],
      // The one thing that is not in the README: a test does not wait for ten seconds.
      ...['--log-stats-interval', '1'],
    ]);
    await untilAllServe(at, engines, [opt, llama, opt]);
  }, 60_000);
  afterAll(stopAll);

  it('serves each model by its engines in turn', async () => {
    const served: number[] = [];
    for (let i = 0; i < 8; i++) {
      served.push(await whoServes(at, engines, { model: opt }));
      // Another model's turns are its own.
      expect(await whoServes(at, engines, { model: llama })).toBe(1);
    }
    expect(served.slice(0, 2).toSorted()).toEqual([0, 2]);
    expect(served).toEqual(served.map((_, i) => served[i % 2]));
  });

  it.each([
    [
      'a model that nobody has',
      askBody({ model: 'gpt-9' }),
      404,
      'model_not_found',
      /"gpt-9" does not exist/,
    ],
    ['no model', '{"messages":[]}', 400, 'invalid_request', /must provide a model/],
    ['an empty body', '', 400, 'invalid_request', /./],
    ['half a body', '{"model":"m"', 400, 'invalid_request', /Cannot parse the request body as JSON/],
    ['no object', '[1]', 400, 'invalid_request', /object/],
  ])('refuses %s as OpenAI does, under the id of the request', async (_, body, status, code, words) => {
    const headers = [['content-type', 'application/json'] as const, ['X-Request-Id', 'mine-1'] as const];
    const reply = await send(at.port, { body, headers });
    expect(reply.status).toBe(status);
    expect(reply.headers['content-type']).toBe('application/json');
    expect(reply.headers['x-request-id']).toBe('mine-1');
    expect(reply.json).toMatchObject({
      error: { message: expect.stringMatching(words), type: 'invalid_request_error', code },
    });
  });

  it('gives every reply an id of its own where the client gave none', async () => {
    const replies = [
      await ask(at, { model: opt }),
      await ask(at, { model: opt }),
      await ask(at, { model: '?' }),
    ];
    const ids = replies.map(({ headers }) => headers['x-request-id']);
    for (const id of ids)
      expect(id).toEqual(expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/));
    expect(new Set(ids).size).toBe(3);
    expect(
      (await ask(at, { model: opt, headers: { 'X-Request-Id': 'mine-2' } })).headers['x-request-id'],
    ).toBe('mine-2');
  });

  it('tells that it is healthy, and nothing of its configuration', async () => {
    expect((await send(at.port, { method: 'GET', path: '/health' })).json).toEqual({ status: 'healthy' });
  });

  describe('the openai package', () => {
    let openai: OpenAI;
    beforeAll(() => {
      openai = new OpenAI({ baseURL: `${at.url}/v1`, apiKey: 'unused', maxRetries: 0 });
    });
    const messages = [{ role: 'user' as const, content: 'Hello' }];

    it('chats', async () => {
      const { usage, model, choices } = await openai.chat.completions.create({
        model: llama,
        messages,
        max_completion_tokens: 4,
      });
      expect(model).toBe(llama);
      expect(usage?.completion_tokens).toBe(4);
      expect(choices[0]?.message.content).toEqual(expect.stringMatching(/./));
    });

    it('chats in a stream', async () => {
      const stream = await openai.chat.completions.create({
        ...{ model: opt, messages, max_completion_tokens: 8 },
        ...{ stream: true, stream_options: { include_usage: true } },
      });
      const chunks = await collected(stream);
      expect(chunks.at(-1)?.usage?.completion_tokens).toBe(8);
      expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).not.toBe('');
      expect(chunks.find(({ choices }) => choices[0]?.finish_reason)?.choices[0]?.finish_reason).toBe(
        'length',
      );
    });

    it('completes, in one piece and in a stream', async () => {
      const asked = { model: opt, prompt: 'Once', max_tokens: 5 };
      const whole = await openai.completions.create(asked);
      expect(whole.usage?.completion_tokens).toBe(5);
      const pieces = await collected(await openai.completions.create({ ...asked, stream: true }));
      expect(pieces.at(-1)?.choices[0]?.finish_reason).toBe('length');
    });

    it('embeds', async () => {
      const { data, usage } = await openai.embeddings.create({ model: opt, input: ['one', 'two'] });
      expect(data).toHaveLength(2);
      expect(data[0]!.embedding.length).toBeGreaterThan(1);
      expect(usage.prompt_tokens).toBeGreaterThan(0);
    });

    it('lists each model once', async () => {
      expect((await openai.models.list()).data.map(({ id }) => id).toSorted()).toEqual([opt, llama]);
    });

    it('throws what it throws for OpenAI', async () => {
      const unknown = openai.chat.completions.create({ model: 'gpt-9', messages });
      await expect(unknown).rejects.toBeInstanceOf(NotFoundError);
      await expect(unknown).rejects.toMatchObject({
        ...{ status: 404, code: 'model_not_found', type: 'invalid_request_error', param: 'model' },
        requestID: expect.stringMatching(/./),
      });
      // What Sluice refuses, and what the engine does.
      const noModel = openai.chat.completions.create({ messages } as never);
      await expect(noModel).rejects.toBeInstanceOf(BadRequestError);
      const tooMuch = openai.chat.completions.create({
        model: opt,
        messages,
        max_completion_tokens: 10_000_000,
      });
      await expect(tooMuch).rejects.toBeInstanceOf(BadRequestError);
    });
  });

  it('logs each decision in the words that scripts look for', async () => {
    const id = 'find-me';
    await ask(at, { model: llama, headers: { 'x-request-id': id } });
    const line = await at.child.line(/Routing request find-me /);
    const found =
      /Routing request ([^ ]*) with session id ([^ ]*) to ([^ ]*) at ([\d.]+), process time = (\d+\.\d{4})$/.exec(
        line,
      );
    expect(found?.slice(1, 4)).toEqual([id, 'None', engines[1]!.url]);
  });

  it('--log-stats writes the block, line by line', async () => {
    const { lines } = at.child;
    const from = lines.length;
    await eventually(() => lines.slice(from).filter((line) => line === '='.repeat(50)).length >= 2);
    const first = lines.indexOf('='.repeat(50), from);
    const block = lines.slice(first, lines.indexOf('='.repeat(50), first + 1) + 1);
    expect(message(lines[first - 1]!)).toBe('');
    const server = (url: string, model: string): (string | RegExp)[] => [
      `Server: ${url}`,
      'Models:',
      `  - ${model}`,
      / Engine Stats: Running Requests: \d+\.\d, Queued Requests: \d+\.\d, GPU Cache Hit Rate: \d\.\d\d$/,
      / Request Stats: QPS: \d+\.\d\d, Avg Latency: -?\d+\.\d\d, Avg ITL: -?\d+(\.\d+)?, Prefill Requests: \d+, Decoding Requests: \d+, Swapped Requests: 0, Finished: \d+, Uptime: \d+\.\d\d sec$/,
      '-'.repeat(50),
    ];
    const expected = engines.flatMap(({ url }, i) => server(url, i === 1 ? llama : opt));
    expect(block).toEqual([
      '='.repeat(50),
      ...expected.map((line) => (typeof line === 'string' ? line : expect.stringMatching(line))),
      '='.repeat(50),
    ]);
  });
});

describe('vllm-router counts', () => {
  let at: VllmRouter;
  beforeAll(async () => {
    at = await start(
      ['m', 'm', 'm'],
      ...['--routing-logic', 'roundrobin', '--engine-stats-interval', '1', '--request-stats-window', '60'],
      ...['--log-stats', '--log-stats-interval', '1'],
    );
    await untilAllServe(at, engines);
  }, 60_000);
  afterAll(stopAll);

  const busy = async (): Promise<number> =>
    (await total(at, 'vllm:num_requests_running')) +
    (await total(at, 'vllm:num_prefill_requests')) +
    (await total(at, 'vllm:num_decoding_requests'));

  /** What the newest block in the log says. */
  const lastFinished = ({ child: { lines } }: VllmRouter, url: string): number =>
    Number(/Finished: (\d+),/.exec(lines.slice(lines.lastIndexOf(`Server: ${url}`)).join('\n'))?.[1]);

  it('what its engines count themselves', async () => {
    const incoming = await total(at, 'vllm:num_incoming_requests_total');
    const requests = Array.from({ length: 60 }, (_, i) => ({
      tokens: 1 + (i % 7),
      stream: i % 2 === 0,
      prompt: longPrompt(`p${i}`, 1 + i),
    }));
    const replies = await Promise.all(requests.map((asked) => ask(at, asked)));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    const embedded = await send(at.port, {
      path: '/v1/embeddings',
      body: '{"model":"m","input":"some words"}',
    });
    expect(embedded.status).toBe(200);
    expect(await metric(at, 'vllm:num_incoming_requests_total')).toEqual({ 'model="m"': incoming + 61 });
    await eventually(async () => (await busy()) === 0);
    for (const engine of engines) {
      const server = `server="${engine.url}"`;
      expect({
        input: await total(at, 'vllm:input_tokens_total', server),
        output: await total(at, 'vllm:output_tokens_total', server),
        finished: await total(at, 'vllm:request_latency_seconds_count', server),
        failed: await total(at, 'vllm:request_latency_seconds_count', `${server},model="m",status="error"`),
      }).toEqual({
        input: await total(engine, 'vllm:prompt_tokens_total'),
        output: await total(engine, 'vllm:generation_tokens_total'),
        finished: await total(engine, 'vllm:request_success_total'),
        failed: 0,
      });
    }
    const finished = await Promise.all(engines.map((engine) => total(engine, 'vllm:request_success_total')));
    await eventually(() => engines.every(({ url }, i) => lastFinished(at, url) === finished[i]));
    // What engines say is known after the next reading.
    for (const { url } of engines)
      await eventually(
        async () => (await total(at, 'vllm:gpu_prefix_cache_queries_total', `server="${url}"`)) > 0,
      );
    const asked = requests.reduce((sum, { tokens }) => sum + tokens, 0);
    expect(await total(at, 'vllm:output_tokens_total')).toBeGreaterThanOrEqual(asked);
  });

  it('nothing as running once clients have left', async () => {
    for (const engine of engines) engine.setFault({ mode: 'hang' });
    const streams = await Promise.all(
      Array.from({ length: 6 }, async () => {
        const outgoing = startRequest(at.port, { body: askBody({ tokens: 500, stream: true }) });
        return { outgoing, response: await responseOf(outgoing) };
      }),
    );
    const plain = Array.from({ length: 6 }, () => startRequest(at.port, { body: askBody({ tokens: 500 }) }));
    await eventually(async () => (await total(at, 'vllm:num_requests_running')) === 12);
    expect(await total(at, 'vllm:num_decoding_requests')).toBe(6);
    expect(await total(at, 'vllm:num_prefill_requests')).toBe(6);
    for (const { outgoing } of streams) outgoing.destroy();
    for (const outgoing of plain) outgoing.destroy();
    await eventually(async () => (await busy()) === 0);
    for (const engine of engines) engine.setFault({ mode: 'none' });
  });

  it('models that nobody has under one label', async () => {
    for (const model of ['gpt-9', 'gpt-10', 'a"b']) expect((await ask(at, { model })).status).toBe(404);
    const incoming = await metric(at, 'vllm:num_incoming_requests_total');
    expect(Object.keys(incoming).toSorted()).toEqual(['model="m"', 'model="unknown"']);
    expect(incoming['model="unknown"']).toBe(3);
  });

  it('an engine that dies under load costs no request whose response had not begun', async () => {
    const [, victim] = engines;
    const statuses: number[] = [];
    let over = false;
    const client = async (): Promise<void> => {
      while (!over) statuses.push((await ask(at, { tokens: 20 })).status);
    };
    const clients = Promise.all(Array.from({ length: 16 }, client));
    try {
      await eventually(() => statuses.length > 100 && victim!.stats().running > 0);
      await victim!.stop();
      const before = statuses.length;
      const label = `server="${victim!.url}"`;
      await eventually(async () => (await metric(at, 'vllm:healthy_pods_total'))[label] === 0);
      await eventually(() => statuses.length > before + 200);
    } finally {
      over = true;
    }
    await clients;
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(victim!.requests().some(({ outcome }) => outcome === 'aborted')).toBe(true);
    await eventually(async () => (await busy()) === 0);
  }, 20_000);
});

describe('vllm-router --routing-logic session', () => {
  let at: VllmRouter;
  beforeAll(async () => {
    at = await start(
      ['m', 'm', 'm'],
      ...['--routing-logic', 'session', '--session-key', 'x-User-Id', '--engine-stats-interval', '1'],
    );
    await untilAllServe(at, engines);
  }, 60_000);
  afterAll(stopAll);
  afterEach(() => {
    for (const engine of engines) engine.setFault({ mode: 'none' });
  });

  const order = (session: string): number[] =>
    ringOrder(
      engines.map(({ url }) => url),
      session,
    ).map((url) => engines.findIndex((engine) => engine.url === url));

  it.each(['abc123', 'session2', 'session4', 'user-0', 'user-2', '42'])(
    'sends session %s where the ring of vllm-router does',
    async (session) => {
      const headers = { 'X-USER-ID': session };
      expect(await whoServes(at, engines, { headers })).toBe(order(session)[0]);
    },
  );

  it.each(['abc123', 'user-0', 42])(
    'reads session %j in the body, where the header says nothing',
    async (session) => {
      const asked = { fields: { 'x-User-Id': session }, headers: { 'x-user-id': '' } };
      expect(await whoServes(at, engines, asked)).toBe(order(String(session))[0]);
    },
  );

  it('keeps a session with its engine, however the header is written', async () => {
    const [owner] = order('ada');
    const served = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        whoServes(at, engines, { headers: { [['x-user-id', 'X-User-Id', 'X-USER-ID'][i % 3]!]: 'ada' } }),
      ),
    );
    expect(new Set(served)).toEqual(new Set([owner]));
  });

  it.each([
    ['no header', {}],
    ['an empty one', { 'x-user-id': '' }],
  ])('spreads requests with %s', async (_, headers) => {
    const served: number[] = [];
    for (let i = 0; i < 9; i++) served.push(await whoServes(at, engines, { headers }));
    expect(new Set(served).size).toBeGreaterThan(1);
  });

  it('lets the next engine on the ring take over, and gives the session back', async () => {
    const headers = { 'x-user-id': 'ada' };
    const [owner, next] = order('ada');
    engines[owner!]!.setFault({ mode: 'refuse', forMs: 60_000 });
    for (let i = 0; i < 5; i++) expect(await whoServes(at, engines, { headers })).toBe(next);
    engines[owner!]!.setFault({ mode: 'none' });
    await eventually(async () => (await whoServes(at, engines, { headers })) === owner);
    for (let i = 0; i < 5; i++) expect(await whoServes(at, engines, { headers })).toBe(owner);
  }, 20_000);
});

describe('vllm-router --routing-logic', () => {
  afterEach(stopAll);

  it.each(['prefixaware', 'loadaware'])(
    '%s sends a long prompt where its beginning is, and others elsewhere too',
    async (logic) => {
      const at = await start(['m', 'm', 'm'], '--routing-logic', logic);
      await untilAllServe(at, engines);
      const prompt = longPrompt(logic);
      const home = await whoServes(at, engines, { prompt });
      const served: number[] = [];
      for (let i = 0; i < 8; i++) served.push(await whoServes(at, engines, { prompt: `${prompt} ${i}` }));
      expect(new Set(served)).toEqual(new Set([home]));
      const others = await Promise.all(
        Array.from({ length: 24 }, (_, i) => whoServes(at, engines, { prompt: longPrompt(`${logic}${i}`) })),
      );
      expect(new Set(others).size).toBe(3);
    },
    30_000,
  );
});

describe('vllm-router before its engines', () => {
  afterEach(stopAll);

  it('says 503 for a model whose engine is not there, and uses it soon after it is', async () => {
    const latePort = await freePort();
    engines = await startEngines(['m']);
    const at = (router = await startRouterProcess([
      ...['--service-discovery', 'static', '--routing-logic', 'roundrobin'],
      ...[
        '--static-backends',
        `${engines[0]!.url},http://127.0.0.1:${latePort}`,
        '--static-models',
        'm,late',
      ],
    ]));
    await untilAllServe(at, engines);
    const refused = await ask(at, { model: 'late', headers: { 'x-request-id': 'early' } });
    expect(refused).toMatchObject({
      status: 503,
      headers: { 'retry-after': '1', 'x-request-id': 'early' },
    });
    expect(refused.json).toMatchObject({ error: { code: 'model_unavailable' } });
    expect(await metric(at, 'vllm:num_incoming_requests_total')).toHaveProperty('model="late"', 1);
    engines.push(await startSimulatedEngine({ model: 'late', port: latePort, speed: 50 }));
    // --engine-stats-interval is 30.
    await eventually(async () => (await ask(at, { model: 'late' })).status === 200, 6000);
  }, 30_000);
});
