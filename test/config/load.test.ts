import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { loadConfig, parseConfig, parseConfigMap } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { faultsOf as faultsThrown } from './source/faults-of.ts';

const faultsOf = (text: string): string[] => faultsThrown(() => parseConfig(text, 'sluice.yaml'));

describe('loadConfig()', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sluice-config-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('has a default for everything', () => {
    const { scheduler, auth, cors, ...rest } = loadConfig(undefined).config;
    expect(rest).toEqual({
      fairness: {
        enabled: false,
        policy: 'vtc',
        windowSizeMs: 300_000,
        inputTokenWeight: 1,
        outputTokenWeight: 2,
        cachedTokenWeight: 1,
        priorityTokenWeight: 1,
        priorityRequestNumWeight: 0,
        maxWaitingRequests: 4,
        maxInFlightPerEndpoint: 256,
        maxConcurrent: 0,
        maxQps: 0,
        queueTimeoutMs: 60_000,
        agingAfterMs: 10_000,
        maxQueued: 10_000,
        maxQueuedBytes: 256 * 1024 ** 2,
        maxQueuedPerPrincipal: 1000,
        maxPrincipals: 100_000,
        weights: { subjects: {}, tiers: {}, groups: {}, default: 1 },
      },
      sessionBoost: {
        enabled: false,
        header: 'x-session-id',
        maxSessions: 4096,
        inflightPerPod: 16,
        gracePeriodMs: 0,
        timeoutMs: 30_000,
      },
      limits: {
        maxBodyBytes: 16_777_216,
        maxBodyDepth: 128,
        drainTimeoutMs: 30_000,
        store: 'memory',
        rules: [],
      },
      routes: { allow: [], metrics: false },
      models: { aliases: new Map(), rewrites: new Map() },
      sessions: { headers: [], fields: ['user', 'session_id', 'prompt_cache_key', 'metadata.user_id'] },
      stats: { windowMs: 60_000, logIntervalMs: 0, routingLog: false, vllmNames: false },
      usage: { source: 'auto', sampleRate: 0.01, ask: 'auto', hideChunk: true, accessLogTimeoutMs: 2000 },
      discovery: { type: 'static', dnsIntervalMs: 10_000, static: { backends: [] } },
      scrape: {
        intervalMs: 1000,
        timeoutMs: 3000,
        staleAfterMs: 5000,
        modelsIntervalMs: 10_000,
        unhealthyAfter: 3,
      },
      envoy: {
        requestTimeoutMs: 0,
        idleTimeoutMs: 600_000,
        connectTimeoutMs: 1000,
        retries: 2,
        perTryIdleTimeoutMs: 300_000,
        messageTimeoutMs: 10_000,
        maxMessageTimeoutMs: 300_000,
        adminPort: 0,
        concurrency: 0,
        upstreamTls: { caFile: undefined, insecureSkipVerify: false },
      },
      admin: { host: '127.0.0.1', port: 9090 },
      log: { level: 'info', format: 'auto', output: 'stdout', access: true, subjects: 'hashed' },
    });
    expect(auth).toMatchObject({ providers: [], forwardToken: false, anonymous: { by: 'shared' } });
    expect(cors.origins).toEqual([]);
    expect(scheduler.maxEndpoints).toBe(3);
    expect(scheduler.profile.filters.map(({ type }) => type)).toEqual(['least-request']);
    expect(scheduler.profile.scorers.map(({ type, weight }) => [type, weight])).toEqual([
      ['least-request', 1],
      ['kv-cache', 1],
      ['least-latency', 1],
      ['prefix-cache', 1],
    ]);
    expect(scheduler.profile.picker).toEqual({ type: 'max-score', params: {} });
  });

  it('reads a file', () => {
    const path = join(folder, 'sluice.yaml');
    writeFileSync(path, 'admin:\n  port: 1234\n');
    expect(loadConfig(path).config.admin).toEqual({ host: '127.0.0.1', port: 1234 });
  });

  it('names the file that it cannot read', () => {
    const path = join(folder, 'absent.yaml');
    expect(() => loadConfig(path)).toThrow(/^Cannot read configuration ".*absent.yaml": .*ENOENT/);
  });

  it('describes every field, and its input has a JSON schema', () => {
    const undescribed: string[] = [];
    const walk = (schema: z.core.JSONSchema.BaseSchema, path: string) => {
      for (const [name, field] of Object.entries(schema.properties ?? {})) {
        if (typeof field === 'boolean') continue;
        if (field.description === undefined && name !== 'name') undescribed.push(`${path}.${name}`);
        walk(field, `${path}.${name}`);
      }
    };
    walk(z.toJSONSchema(configSchema, { io: 'input' }), '');
    expect(undescribed).toEqual([]);
  });
});

describe('parseConfigMap()', () => {
  const name = 'ConfigMap llm/sluice';

  it('reads the key that holds the configuration, in any accepted form', () => {
    const { config, file, form } = parseConfigMap(
      { README: 'not: [ours', routerConfiguration: 'scheduler: { plugins: { Filter: { enabled: [] } } }' },
      name,
    );
    expect(config.scheduler.profile.filters).toEqual([]);
    expect([file, form]).toEqual([
      'ConfigMap llm/sluice/routerConfiguration',
      'Sluice configuration, key routerConfiguration of ConfigMap llm/sluice',
    ]);
  });

  it('takes options as a file does', () => {
    const options = { flags: { admin: { port: 1 } }, refuseEmpty: true };
    expect(parseConfigMap({ 'sluice.yaml': 'log: {}' }, name, options).config.admin.port).toBe(1);
    expect(() => parseConfigMap({ 'sluice.yaml': '' }, name, options)).toThrow(
      'ConfigMap llm/sluice/sluice.yaml:1:1: is empty',
    );
  });

  it.each([
    [{}, 'ConfigMap llm/sluice: is empty; needed is routerConfiguration, gatewayConfiguration'],
    [
      { 'sluice.yml': '' },
      'ConfigMap llm/sluice: holds "sluice.yml"; needed is routerConfiguration, gatewayConfiguration, schedulerConfiguration or sluice.yaml; is "sluice.yml" meant to be "sluice.yaml"?',
    ],
    [
      { 'sluice.yaml': '', gatewayConfiguration: '' },
      'ConfigMap llm/sluice: holds more than one configuration, "gatewayConfiguration" and "sluice.yaml": keep one of them',
    ],
    [{ 'sluice.yaml': 'log: 1' }, 'ConfigMap llm/sluice/sluice.yaml:1:6: log: 1 is not a mapping'],
  ])('refuses %j', (texts, message) => {
    expect(() => parseConfigMap(texts, name)).toThrow(message);
  });
});

describe('options.base', () => {
  const base = { admin: { port: 1, host: '::' } };

  it('counts below the file', () => {
    expect(parseConfig('admin: { port: 2 }', 'f', { base }).config.admin).toEqual({ host: '::', port: 2 });
  });

  it('may depend on what the file says', () => {
    const whereSaid = (file: Readonly<Record<string, unknown>>) => (file['admin'] === undefined ? {} : base);
    const read = (text: string) => parseConfig(text, 'f', { base: whereSaid }).config.admin;
    expect(read('log: {}')).toEqual({ host: '127.0.0.1', port: 9090 });
    expect(read('admin: { port: 2 }')).toEqual({ host: '::', port: 2 });
    expect(read('admin:')).toEqual({ host: '::', port: 1 });
  });

  it('gives its name to what is refused where there is no file', () => {
    expect(() => loadConfig(undefined, { flags: { admin: { port: -1 } } })).toThrow(
      'Cannot use configuration "command line": 1 fault\n  command line: admin.port: -1 is too small',
    );
  });

  it('is to blame for its own faults', () => {
    const wrong = () => ({ admin: { port: -1 } });
    expect(() => parseConfig('log: {}', 'f', { base: wrong })).toThrow(
      'command line: admin.port: -1 is too small',
    );
  });
});

describe('parseConfig()', () => {
  it('takes an empty file and empty sections for the defaults', () => {
    const defaults = loadConfig(undefined).config;
    expect(parseConfig('', 'f').config).toEqual(defaults);
    const empty = 'limits:\nenvoy:\n  upstreamTls:\nscheduler:\n  plugins:\n    Score:\n';
    expect(parseConfig(empty, 'f').config).toEqual(defaults);
  });

  it('reads every section', () => {
    const text = `
limits: { maxBodyBytes: 1MiB, maxBodyDepth: 9, drainTimeout: 5, store: 'redis://redis', rules: [{ name: a, scope: model, requests: 5, per: second }] }
fairness: { enabled: true, policy: fifo, agingAfter: 0 }
sessionBoost: { timeout: 10s, gracePeriod: 1s }
routes: { allow: [/custom, /ops/*, '/*'] }
usage: { source: streamed, sampleRate: 1, ask: always, hideChunk: false, accessLogTimeout: 250ms }
discovery: { dnsInterval: 1m, static: { backends: [{ url: 'https://a.example/' }, { url: 'http://[::1]:8000', models: [m, n] }] } }
scrape: { interval: 2s, timeout: 1s, staleAfter: 9s, modelsInterval: 1m, unhealthyAfter: 1 }
envoy: { requestTimeout: 0s, idleTimeout: 0, retries: 0, messageTimeout: 2s, upstreamTls: { caFile: ca.pem, insecureSkipVerify: true } }
admin: { host: '::', port: 0 }
log: { level: debug, format: json, access: false }
scheduler: { maxEndpoints: 1 }
`;
    expect(parseConfig(text, 'f').config).toMatchObject({
      limits: {
        maxBodyBytes: 1_048_576,
        maxBodyDepth: 9,
        drainTimeoutMs: 5000,
        store: 'redis://redis',
        rules: [{ name: 'a', scope: 'model', requests: 5, per: 'second', perMs: 1000 }],
      },
      fairness: { enabled: true, policy: 'fifo', agingAfterMs: 0 },
      sessionBoost: { enabled: false, timeoutMs: 10_000, gracePeriodMs: 1000 },
      routes: { allow: ['/custom', '/ops/*', '/*'] },
      usage: { source: 'streamed', sampleRate: 1, ask: 'always', hideChunk: false, accessLogTimeoutMs: 250 },
      discovery: {
        dnsIntervalMs: 60_000,
        static: {
          backends: [
            { url: 'https://a.example/', models: [] },
            { url: 'http://[::1]:8000', models: ['m', 'n'] },
          ],
        },
      },
      scrape: {
        intervalMs: 2000,
        timeoutMs: 1000,
        staleAfterMs: 9000,
        modelsIntervalMs: 60_000,
        unhealthyAfter: 1,
      },
      envoy: {
        idleTimeoutMs: 0,
        retries: 0,
        messageTimeoutMs: 2000,
        upstreamTls: { caFile: 'ca.pem', insecureSkipVerify: true },
      },
      admin: { host: '::', port: 0 },
      log: { level: 'debug', format: 'json', access: false },
      scheduler: { maxEndpoints: 1 },
    });
  });

  const faults: [string, string, unknown[]][] = [
    [
      'a mistyped field',
      'limits:\n  maxBodyDepht: 3',
      ['2:3 limits.maxBodyDepht: there is no field "maxBodyDepht" here; did you mean "maxBodyDepth"?'],
    ],
    [
      'a mistyped section',
      'log: {}\nscraping: {}',
      [expect.stringContaining('2:1 scraping: there is no field "scraping" here; there are scheduler, ')],
    ],
    [
      'a field that every object of JavaScript has',
      'toString: 1',
      [expect.stringContaining('1:1 toString: there is no field "toString" here; there are ')],
    ],
    ['a wrong type', 'admin:\n  port: "80"', ['2:9 admin.port: "80" is not a number']],
    ['a fraction', 'admin:\n  port: 1.5', ['2:9 admin.port: 1.5 is not a whole number']],
    ['too great', 'admin: {port: 65536}', ['1:15 admin.port: 65536 is too great: the greatest is 65535']],
    ['too small', 'usage: {sampleRate: -1}', ['1:21 usage.sampleRate: -1 is too small: the least is 0']],
    ['an empty string', 'admin: {host: ""}', ['1:15 admin.host: must not be empty']],
    ['a section that is none', 'log: yes', ['1:6 log: "yes" is not a mapping']],
    [
      'null for a value',
      'log:\n  level:',
      [expect.stringContaining('2:9 log.level: null is not one of "trace"')],
    ],
    [
      'a mistyped word',
      'log:\n  format: jsno',
      ['2:11 log.format: "jsno" is not one of "auto", "json", "pretty"; did you mean "json"?'],
    ],
    [
      'a duration',
      'scrape: {timeout: 5 s}',
      [
        '1:19 scrape.timeout: "5 s" is not a duration: write it like 250ms, 1s, 5m, or as a number of seconds',
      ],
    ],
    [
      'a size',
      'limits: {maxBodyBytes: [1]}',
      ['1:24 limits.maxBodyBytes: [1] is not a size: write it like 16MiB, 500KB, or as a number of bytes'],
    ],
    [
      'values always stale',
      'scrape:\n  staleAfter: 1s',
      [
        '2:15 scrape.staleAfter: staleAfter must be longer than interval, or every value is stale before the next one comes',
      ],
    ],
    [
      'two orders for one queue, beside other faults',
      'fairness:\n  enabled: true\n  windowSize: 1s\nsessionBoost:\n  enabled: true',
      [
        '3:15 fairness.windowSize: duration "1s" is out of range: 1m to 1h',
        '5:12 sessionBoost.enabled: fairness.enabled is true as well, and a queue has one order: turn one of them off',
      ],
    ],
    [
      'a name that would get lost',
      'fairness: {weights: {subjects: {__proto__: 2}}}',
      ['1:33 fairness.weights.subjects.__proto__: "__proto__" cannot be a name here: choose another one'],
    ],
    [
      'timeouts in the wrong order',
      'envoy:\n  maxMessageTimeout: 1s',
      ['2:3 envoy.messageTimeout: messageTimeout must not be longer than maxMessageTimeout'],
    ],
    [
      'paths to allow',
      "routes:\n  allow:\n    - v1/x\n    - /a/../b\n    - '/a*'\n    - /ok",
      [
        '3:7 routes.allow[0]: "v1/x" is not a path to allow: write an absolute path, or a prefix that ends in "/*"',
        '4:7 routes.allow[1]: "/a/../b" would never match: write "/b"',
        '5:7 routes.allow[2]: "/a*" is not a path to allow: write an absolute path, or a prefix that ends in "/*"',
      ],
    ],
    [
      'paths that are not in canonical spelling',
      "routes: { allow: ['/a/', '/a/*', '/a%2fb/*', '/*', '/%61', '/'] }",
      [
        '1:19 routes.allow[0]: "/a/" would never match: write "/a"',
        '1:34 routes.allow[2]: "/a%2fb/*" would never match: write "/a/b/*"',
        '1:52 routes.allow[4]: "/%61" would never match: write "/a"',
      ],
    ],
    [
      'a backend without scheme, and one without URL',
      'discovery:\n  static:\n    backends:\n      - url: 10.0.0.1:8000\n      - models: [m]',
      [
        '4:14 discovery.static.backends[0].url: "10.0.0.1:8000" is not the URL of an engine: write it like http://10.0.0.1:8000, without path, query or user',
        '5:9 discovery.static.backends[1].url: is missing',
      ],
    ],
    [
      'an engine that is listed twice',
      "discovery: {static: {backends: [{url: 'http://A:80'}, {url: nowhere}, {url: 'http://a'}]}}",
      [
        '1:61 discovery.static.backends[1].url: "nowhere" is not the URL of an engine: write it like http://10.0.0.1:8000, without path, query or user',
        '1:77 discovery.static.backends[2].url: "http://a" is the same engine as item 1 of the list',
      ],
    ],
    ['broken YAML', 'a: [1\nb: 2', [expect.stringContaining('2:1 : ')]],
    ['a key twice', 'log: {}\nlog: {}', ['2:1 log: is written a second time; the first is in line 1']],
    ['a list', '- 1', ['1:1 : a list is no configuration: write a mapping of sections']],
    [
      'several documents',
      'log: {}\n---\nlog: {}',
      ['3:1 : is a second configuration; the first is in line 1: keep one of them'],
    ],
    [
      'an unknown tag',
      'log: !secret x',
      ['1:6 : the tag !secret is not known here: remove it and write a plain value'],
    ],
  ];
  it.each(faults)('reports %s', (_, text, expected) => {
    expect(faultsOf(text)).toEqual(expected);
  });

  it('reports every fault in the order of the file, and shows no password', () => {
    const text =
      'admin: {port: x}\nscrap: {}\ndiscovery:\n  static:\n    backends: [{url: "http://me:secret@h:1"}]\nlog: {levle: 1}';
    const found = faultsOf(text);
    expect(found.map((fault) => fault.split(' ')[0])).toEqual(['1:15', '2:1', '5:22', '6:7']);
    expect(found.join()).not.toContain('secret');
  });

  it('says of each field that it ignores what becomes of it, and nothing of the others', () => {
    const { warnings } = parseConfig('limit: 1\nlog: {levle: 1, formt: 2}', 'f', { lenient: true });
    expect(warnings.map(({ path, message }) => `${path}: ${message.split('; ').at(-1)!}`)).toEqual([
      'limit: ignored',
      'log.levle: ignored',
      'log.formt: ignored',
    ]);
  });

  it('has values stale no later than a timer can say', () => {
    const { scrape } = parseConfig('scrape: {interval: 500h}', 'f').config;
    expect(scrape).toMatchObject({ intervalMs: 1_800_000_000, staleAfterMs: 2 ** 31 - 1 });
  });

  it('throws a message with one line for each fault', () => {
    expect(() => parseConfig('admin: {port: x}\nfairnes: {}', 'etc/s.yaml')).toThrow(
      [
        'Cannot use configuration "etc/s.yaml": 2 faults',
        '  etc/s.yaml:1:15: admin.port: "x" is not a number',
        '  etc/s.yaml:2:1: fairnes: there is no field "fairnes" here; did you mean "fairness"?',
      ].join('\n'),
    );
  });

  it('does not lose a check of tokens, however lenient', () => {
    const lenient = (text: string) => () => parseConfig(text, 'f', { lenient: true });
    expect(lenient('auth: { jwksuri: https://issuer.example/jwks }')).toThrow('did you mean "jwksUri"?');
    const named = 'auth: { issuer: i, audience: [a], jwksUri: https://issuer.example/jwks }';
    expect(lenient(named)().warnings).toHaveLength(1);
    expect(lenient('log: { levle: x }')().warnings).toHaveLength(1);
  });

  it('tells of what Envoy would not let through', () => {
    expect(parseConfig('sessions: { headers: [x-session, session_id] }', 'f').notes).toEqual([
      'sessions.headers: Envoy drops headers with "_" in their name, "session_id" too',
    ]);
    const boost = 'sessionBoost.header: Envoy drops headers with "_" in their name, "session_id" too';
    expect(parseConfig('sessionBoost: { enabled: true, header: session_id }', 'f').notes).toContain(boost);
    expect(parseConfig('sessionBoost: { header: session_id }', 'f').notes).toEqual([]);
  });

  it('tells of rules that are about nobody', () => {
    expect(
      parseConfig('limits: { rules: [{ name: free, groups: [free], requests: 5 }] }', 'f').notes,
    ).toEqual([
      'limits.rules: without an issuer nobody has a subject or a group, and rule "free" is about nobody',
    ]);
  });

  it('refuses two orders that Kthena’s variables ask for, however lenient', () => {
    const env = { ENABLE_FAIRNESS_SCHEDULING: 'true', ENABLE_SESSION_BOOST: 'true' };
    const both =
      'environment: ENABLE_SESSION_BOOST: fairness.enabled is true as well, and a queue has one order: turn one of them off';
    expect(() => loadConfig(undefined, { env })).toThrow(both);
    expect(() => loadConfig(undefined, { env, lenient: true })).toThrow(both);
    const { config } = parseConfig('fairness: { enabled: false }', 'f', { env });
    expect([config.fairness.enabled, config.sessionBoost.enabled]).toEqual([false, true]);
  });

  it('shows no password of a Redis server', () => {
    const text = 'limits: { store: "redis://:open/sesame@redis", rules: [{ name: a }] }';
    expect(faultsOf(text)).toHaveLength(2);
    expect(faultsOf(text).join()).not.toContain('sesame');
  });

  it('finds faults behind aliases, and stops aliases that multiply', () => {
    expect(faultsOf('log: &l {level: loud}\nadmin: *l')).toContainEqual(
      expect.stringContaining('1:10 admin.level: there is no field "level" here'),
    );
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...'bcdefgh'
        .split('')
        .map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[i]}`).join()}]`),
    ];
    expect(faultsOf(bomb.join('\n'))).toEqual([expect.stringContaining('alias')]);
  });
});
