import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { fullDuplexEnvoy } from '../support/attached-envoys.ts';
import {
  ask,
  bearer,
  expectUnauthorized,
  get,
  outcomesDuring,
  statusFor,
  untilReady,
  type HeaderList,
} from '../support/callers.ts';
import { chatBody } from '../support/chat.ts';
import { editBootstrap } from '../support/edit-bootstrap.ts';
import { startGateway, type Gateway, type GatewayOptions } from '../support/gateway.ts';
import { send, type Reply } from '../support/http-client.ts';
import { startIssuer, type Issuer } from '../support/issuer.ts';
import { samples } from '../support/metrics-page.ts';
import { exchangeOf, expectRefusal } from '../support/refusals.ts';
import { withJwtAuthn } from '../support/with-jwt-authn.ts';

/** Nobody else's, so that it can be looked for. */
const subject = 'ann-lovelace-1815';

let issuer: Issuer;
beforeAll(async () => {
  issuer = await startIssuer();
});
afterAll(() => issuer.stop());

const running: Gateway[] = [];
afterEach(async () => {
  for (const gateway of running.splice(0)) await gateway.stop();
});

async function start(config: object, options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = await startGateway({ engines: 1, config: JSON.stringify(config), ...options });
  running.push(gateway);
  await untilReady(gateway);
  return gateway;
}

const signatureOf = (token: string): string => token.slice(token.lastIndexOf('.') + 1);

describe('an engine', () => {
  const modes: readonly [string, GatewayOptions][] = [
    ['an Envoy that buffers bodies', {}],
    ['an Envoy that sends bodies FULL_DUPLEX_STREAMED', fullDuplexEnvoy],
  ];

  describe.each(modes)('behind %s', (_, options) => {
    it('never sees a token, wherever it came from', async () => {
      const gateway = await start(
        {
          auth: { ...issuer.section, headers: ['Authorization', 'x-api-key', 'X-Token'], exempt: ['/ping'] },
          routes: { allow: ['/ping'] },
        },
        options,
      );
      const token = await issuer.signed({ sub: subject });
      const carriers: readonly HeaderList[] = [
        bearer(token),
        [...bearer(token), ...bearer(token)],
        [['x-api-key', token]],
        [['X-TOKEN', `Bearer ${token}`]],
        [
          ['authorization', 'Basic YTpi'],
          ['x-token', token],
        ],
        [...bearer(token), ['x-api-key', token], ['x-token', token]],
      ];
      for (const headers of carriers) expect(await ask(gateway, headers)).toMatchObject({ status: 200 });
      expect(await get(gateway, '/ping', bearer(token))).toMatchObject({ status: 200 });
      const seen = gateway.engines[0]!.requests().filter(({ path }) => path !== '/v1/models');
      expect(seen).toHaveLength(carriers.length + 1);
      for (const { headers } of seen) {
        expect(headers).not.toHaveProperty('authorization');
        expect(headers).not.toHaveProperty('x-api-key');
        expect(headers).not.toHaveProperty('x-token');
      }
      const text = JSON.stringify(gateway.engines[0]!.requests());
      for (const secret of [signatureOf(token), subject, 'YTpi']) expect(text).not.toContain(secret);
    }, 60_000);

    it('sees the token as it came where that is wanted, and nothing that speaks for Sluice', async () => {
      const gateway = await start({ auth: { ...issuer.section, forwardToken: true } }, options);
      const token = await issuer.signed();
      const control: HeaderList = [
        ['x-sluice-principal', 'root'],
        ['X-Sluice-Groups', 'admins'],
        ['x-prefiller-host-port', '192.0.2.1:80'],
        ['x-gateway-destination-endpoint-subset', '192.0.2.1:80'],
        ['x-gateway-destination-endpoint', '192.0.2.1:80'],
      ];
      expect(await ask(gateway, [...bearer(token), ...control])).toMatchObject({ status: 200 });
      const headers = gateway.engines[0]!.requests().at(-1)?.headers ?? {};
      expect(headers['authorization']).toBe(`Bearer ${token}`);
      expect(JSON.stringify(headers)).not.toMatch(/root|admins|192\.0\.2\.1|x-sluice/);
    }, 60_000);
  });

  it('gets what clients call a key where nobody needs a token', async () => {
    const gateway = await start({});
    await ask(gateway, [...bearer('sk-of-the-engine'), ['x-api-key', 'another']]);
    expect(gateway.engines[0]!.requests().at(-1)?.headers).toMatchObject({
      authorization: 'Bearer sk-of-the-engine',
      'x-api-key': 'another',
    });
  }, 60_000);
});

describe('the models that a group may call', () => {
  let gateway: Gateway;
  const tokens = new Map<string, string>();
  beforeAll(async () => {
    const auth = {
      ...issuer.section,
      groupsClaim: 'realm_access.roles',
      models: {
        '*': ['open'],
        staff: ['base', 'base-*'],
        clients: ['gpt'],
        admins: ['*'],
        'two words': ['other'],
      },
    };
    const config = JSON.stringify({ auth, models: { aliases: { gpt: 'base' } } });
    gateway = await startGateway({
      engines: [
        { model: 'base', adapters: ['base-tuned', 'basement'] },
        { model: 'open' },
        { model: 'other' },
      ],
      config,
    });
    await untilReady(gateway);
    for (const [name, roles] of [
      ['nobody', undefined],
      ['staff', ['staff']],
      ['clients', ['visitors', 'clients']],
      ['admins', 'admins'],
      ['two words', 'two words'],
    ] as const)
      tokens.set(name, await issuer.signed({ sub: name, realm_access: { roles }, groups: ['admins'] }));
  }, 60_000);
  afterAll(() => gateway.stop());

  const models = ['base', 'base-tuned', 'basement', 'gpt', 'open', 'other', 'missing'];
  const allowed: readonly [group: string, models: readonly string[]][] = [
    ['nobody', ['open']],
    ['staff', ['base', 'base-tuned', 'open']],
    ['clients', ['gpt', 'open']],
    ['two words', ['open', 'other']],
    ['admins', ['base', 'base-tuned', 'basement', 'gpt', 'open', 'other']],
  ];

  function call(group: string, model: string, path?: string): Promise<Reply> {
    const body = JSON.stringify({ ...(JSON.parse(chatBody()) as object), model });
    const headers = [...bearer(tokens.get(group)!), ['content-type', 'application/json'] as const];
    return send(gateway.port, { headers, body, ...(path !== undefined && { path }) });
  }

  it.each(allowed)('of %s are %j, by the names that they are asked for', async (group, mine) => {
    for (const model of models) {
      const reply = await call(group, model);
      if (mine.includes(model)) {
        expect(reply.status).toBe(200);
      } else if (group === 'admins') {
        expect(reply.status).toBe(404);
      } else {
        await expectRefusal(gateway, reply, {
          status: 403,
          reason: 'forbidden',
          type: 'permission_error',
          param: 'model',
          message: `You do not have access to the model "${model}".`,
        });
      }
    }
  });

  it.each(allowed)('of %s are all that are listed: %j', async (group, mine) => {
    const token = bearer(tokens.get(group)!);
    const list = (await get(gateway, '/v1/models', token)).json as { data: { id: string }[] };
    expect(list.data.map(({ id }) => id).sort()).toEqual(mine);
    for (const model of models) {
      const { status } = await get(gateway, `/v1/models/${model}`, token);
      expect([model, status]).toEqual([model, mine.includes(model) ? 200 : 404]);
    }
    const { body } = await get(gateway, '/engines', token);
    const served = (JSON.parse(body) as { serving_models: string[] }[]).flatMap(
      (engine) => engine.serving_models,
    );
    expect(served.sort()).toEqual(mine.filter((model) => model !== 'gpt'));
  });

  it('are the same on every path', async () => {
    await expectRefusal(gateway, await call('nobody', 'base', '/v1/messages'), {
      status: 403,
      reason: 'forbidden',
      type: 'permission_error',
      param: 'model',
      message: 'You do not have access to the model "base".',
      dialect: 'anthropic',
    });
    for (const path of [
      '/v1/completions',
      '/v1/embeddings',
      '/v1/responses',
      '/tokenize',
      '/v1/messages/count_tokens',
    ])
      expect(await call('nobody', 'base', path)).toMatchObject({ status: 403 });
    const form = [
      ['--x', 'content-disposition: form-data; name="model"', '', 'base', '--x--', ''].join('\r\n'),
    ];
    const headers: HeaderList = [
      ...bearer(tokens.get('nobody')!),
      ['content-type', 'multipart/form-data; boundary=x'],
    ];
    expect(await send(gateway.port, { path: '/v1/audio/transcriptions', headers, body: form })).toMatchObject(
      { status: 403 },
    );
  });
});

describe('a claim that is required', () => {
  it('is asked of every token, and its lack is answered 403', async () => {
    const requiredClaims = [
      { claim: 'scope', values: ['inference', 'admin'] },
      { claim: 'email_verified', values: [true] },
      { claim: 'tenant.id' },
    ];
    const gateway = await start({ auth: { ...issuer.section, requiredClaims } });
    const good = { scope: 'openid inference', email_verified: true, tenant: { id: 7 } };
    expect(await statusFor(gateway, await issuer.signed(good))).toBe(200);
    for (const claims of [
      { ...good, scope: 'openid inferences' },
      { ...good, scope: undefined },
      { ...good, email_verified: 'true' },
      { ...good, tenant: {} },
      { ...good, tenant: { id: null } },
    ]) {
      const token = await issuer.signed(claims);
      const outcomes = await outcomesDuring(gateway, async () => {
        const reply = await ask(gateway, bearer(token));
        await expectRefusal(gateway, reply, {
          status: 403,
          reason: 'forbidden',
          type: 'permission_error',
          message: 'The access token does not grant access to this service.',
        });
        expect(reply.headers['www-authenticate']).toBe(
          'Bearer realm="sluice", error="insufficient_scope", error_description="The access token does not grant access to this service."',
        );
        expect(reply.body + JSON.stringify(reply.headers)).not.toMatch(/inference|verified|tenant/);
      });
      expect(outcomes).toEqual({ 'claim-refused': 1 });
    }
  }, 60_000);
});

describe('a caller', () => {
  it('is whom the claim of the subject names', async () => {
    const gateway = await start({
      auth: { ...issuer.section, subjectClaim: 'act.email' },
      log: { subjects: 'plain' },
    });
    const reply = await ask(gateway, bearer(await issuer.signed({ act: { email: subject } })));
    expect(await exchangeOf(gateway, reply)).toMatchObject({ status: 200, principal: subject });
    expect(await statusFor(gateway, await issuer.signed())).toBe(401);
  }, 60_000);

  it('is one word in the log, the same for each token, and no part of any page', async () => {
    const gateway = await start({ auth: issuer.section });
    const [first, second, another] = await Promise.all([
      issuer.signed({ sub: subject }),
      issuer.signed({ sub: subject, jti: 'second' }),
      issuer.signed({ sub: `${subject}-2` }),
    ]);
    const forged = await issuer.signed({ sub: subject }, { ...issuer.key, kid: 'no-such-kid' });
    const words: unknown[] = [];
    for (const token of [first, first, second, another])
      words.push((await exchangeOf(gateway, await ask(gateway, bearer(token))))['principal']);
    expect(words[0]).toEqual(expect.stringMatching(/^[\w-]{12}$/));
    expect(words).toEqual([words[0], words[0], words[0], expect.not.stringMatching(String(words[0]))]);
    const refused = await exchangeOf(gateway, await ask(gateway, bearer(forged)));
    expect(refused).toMatchObject({ status: 401 });
    expect(refused).not.toHaveProperty('principal');
    await exchangeOf(gateway, await get(gateway, `/v1/models?access_token=${first}`, bearer(first)));
    await exchangeOf(gateway, await ask(gateway, [...bearer(first), ['x-api-key', second]]));

    const pages = await Promise.all(
      ['/metrics', '/health', '/debug/decisions', '/debug/endpoints', '/debug/config'].map(async (page) =>
        (await fetch(gateway.adminUrl + page)).text(),
      ),
    );
    const told = [...pages, ...gateway.lines.map((line) => JSON.stringify(line))].join('\n');
    expect(told).toContain('/v1/chat/completions');
    for (const secret of [subject, ...[first, second, another, forged].map(signatureOf)])
      expect(told).not.toContain(secret);
    expect(await samples(gateway, 'sluice_authentications_total')).toEqual(
      new Map([
        ['outcome="ok"', 3],
        ['outcome="cached"', 2],
        ['outcome="unknown-key"', 1],
        ['outcome="conflict"', 1],
      ]),
    );
  }, 60_000);

  it.each([
    ['plain', subject],
    ['none', undefined],
  ])(
    'is in the log as the configuration says: %s',
    async (subjects, principal) => {
      const gateway = await start({ auth: issuer.section, log: { subjects } });
      const line = await exchangeOf(
        gateway,
        await ask(gateway, bearer(await issuer.signed({ sub: subject }))),
      );
      expect(line).toMatchObject({ status: 200 });
      expect(line['principal']).toBe(principal);
    },
    60_000,
  );
});

describe("a caller whom Envoy's jwt_authn verified", () => {
  /** Envoy lets those without a token pass, so that it is Sluice who refuses them. */
  const verifies = (payloadKey: string): GatewayOptions => ({
    mode: 'attached',
    editBootstrap: editBootstrap((manager) => {
      withJwtAuthn(manager, { issuer: issuer.name, keys: [issuer.key.jwk], payloadKey, optional: true });
    }),
  });

  it('is believed where the configuration says so, in all but the signature', async () => {
    const requiredClaims = [{ claim: 'scope', values: ['inference'] }];
    const auth = { ...issuer.section, envoyPayload: 'verified', requiredClaims };
    const gateway = await start({ auth, log: { subjects: 'plain' } }, verifies('verified'));
    const askWith = async (claims: object): Promise<Reply> =>
      ask(gateway, bearer(await issuer.signed({ sub: subject, scope: 'inference', ...claims })));
    const outcomes = await outcomesDuring(gateway, async () => {
      const line = await exchangeOf(gateway, await askWith({}));
      expect(line).toMatchObject({ status: 200, principal: subject });
      expect(await askWith({ scope: 'other' })).toMatchObject({ status: 403 });
      await expectUnauthorized(gateway, await askWith({ aud: 'other' }), 'wrong-audience');
      await expectUnauthorized(gateway, await ask(gateway, []), 'missing');
    });
    expect(outcomes).toEqual({ envoy: 1, 'claim-refused': 1, 'wrong-audience': 1, missing: 1 });
  }, 60_000);

  it.each([
    ['where the configuration says nothing', {}],
    ['under another name', { envoyPayload: 'other' }],
  ])(
    'is not believed %s',
    async (_, more) => {
      const gateway = await start({ auth: { ...issuer.section, ...more } }, verifies('verified'));
      await expectUnauthorized(gateway, await ask(gateway, bearer(await issuer.signed())), 'missing');
    },
    60_000,
  );
});

describe('an anonymous caller', () => {
  /** Who each of these requests comes from, in plain words. */
  async function callers(anonymous: object, ...headers: readonly HeaderList[]): Promise<unknown[]> {
    const gateway = await start({ auth: { anonymous }, log: { subjects: 'plain' } });
    const words: unknown[] = [];
    const outcomes = await outcomesDuring(gateway, async () => {
      for (const list of headers)
        words.push((await exchangeOf(gateway, await ask(gateway, list)))['principal']);
    });
    expect(outcomes).toEqual({ anonymous: headers.length });
    return words;
  }

  it('is everybody, whatever they send', async () => {
    const token = await issuer.signed();
    expect(await callers({}, [], bearer(token), [['x-user', 'ann']])).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  }, 60_000);

  it('is told apart by a header', async () => {
    const words = await callers(
      { by: 'header', header: 'X-User' },
      [['x-user', 'ann']],
      [['X-USER', ' ann ']],
      [['x-user', 'bob']],
      [],
      [['x-user', '']],
      [['x-user', 'x'.repeat(300)]],
      [
        ['x-user', 'ann'],
        ['x-user', 'bob'],
      ],
      [['x-user', `user:["${issuer.name}","ann"]`]],
    );
    expect(words).toEqual([
      'anonymous:header:ann',
      'anonymous:header:ann',
      'anonymous:header:bob',
      undefined,
      undefined,
      undefined,
      undefined,
      `anonymous:header:user:["${issuer.name}","ann"]`,
    ]);
  }, 60_000);

  it('is told apart by the address that Envoy sees, whatever they claim', async () => {
    const words = await callers(
      { by: 'address' },
      [],
      [['x-forwarded-for', '192.0.2.1']],
      [['forwarded', 'for=192.0.2.1']],
    );
    expect(words).toEqual(Array(3).fill('anonymous:address:127.0.0.1'));
  }, 60_000);
});
