import { describe, expect, it } from '@jest/globals';
import { fieldsAt } from '../../src/config/fields-at.ts';
import { kthenaVariables, readKthenaEnvironment } from '../../src/config/kthena-environment.ts';
import { fairnessSection } from '../../src/config/sections/fairness.ts';
import { limitsSection } from '../../src/config/sections/limits.ts';
import { logSection } from '../../src/config/sections/log.ts';
import { scrapeSection } from '../../src/config/sections/scrape.ts';
import { sessionBoostSection } from '../../src/config/sections/session-boost.ts';

const sections = {
  fairness: fairnessSection,
  sessionBoost: sessionBoostSection,
  limits: limitsSection,
  log: logSection,
  scrape: scrapeSection,
};

const nothing = { written: {}, origins: new Map(), faults: [], notes: [] };

const bools = 'one of 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False';
const weight = 'a number from 0 to 1000000, like 1.5';
const positiveDuration = 'a duration of more than 0, up to 24 days, like 30s or 1h30m';

describe('readKthenaEnvironment()', () => {
  it('finds nothing where nothing is set, or set to nothing', () => {
    expect(readKthenaEnvironment({})).toEqual(nothing);
    expect(readKthenaEnvironment({ PATH: '/bin', DRAIN_TIMEOUT: undefined })).toEqual(nothing);
    expect(readKthenaEnvironment(Object.fromEntries(kthenaVariables.map(({ name }) => [name, ''])))).toEqual(
      nothing,
    );
  });

  it('takes a whole environment of Kthena', () => {
    const { written, origins, faults, notes } = readKthenaEnvironment({
      ENABLE_FAIRNESS_SCHEDULING: 'true',
      FAIRNESS_WINDOW_SIZE: '10m',
      FAIRNESS_INPUT_TOKEN_WEIGHT: '1.0',
      FAIRNESS_OUTPUT_TOKEN_WEIGHT: '2.5',
      FAIRNESS_MAX_QPS: '50',
      FAIRNESS_PRIORITY_TOKEN_WEIGHT: '0.5',
      FAIRNESS_PRIORITY_REQUEST_NUM_WEIGHT: '1e2',
      FAIRNESS_QUEUE_TIMEOUT: '1m30s',
      METRICS_SCRAPE_INTERVAL: '500ms',
      DRAIN_TIMEOUT: '5m',
      ACCESS_LOG_ENABLED: 'F',
      ACCESS_LOG_FORMAT: 'text',
      ACCESS_LOG_OUTPUT: '/var/log/access.log',
    });
    expect(written).toEqual({
      fairness: {
        enabled: true,
        policy: 'window',
        windowSize: '10m',
        inputTokenWeight: 1,
        outputTokenWeight: 2.5,
        maxQps: 50,
        priorityTokenWeight: 0.5,
        priorityRequestNumWeight: 100,
        queueTimeout: '1m30s',
      },
      scrape: { interval: '500ms' },
      limits: { drainTimeout: '5m' },
      log: { access: false, format: 'pretty', output: '/var/log/access.log' },
    });
    expect(Object.fromEntries(origins)).toMatchObject({
      'fairness.enabled': 'ENABLE_FAIRNESS_SCHEDULING',
      'fairness.policy': 'ENABLE_FAIRNESS_SCHEDULING',
      'fairness.windowSize': 'FAIRNESS_WINDOW_SIZE',
      'log.output': 'ACCESS_LOG_OUTPUT',
    });
    expect(origins.size).toBe(14);
    expect(faults).toEqual([]);
    expect(notes).toEqual([]);
    expect(fairnessSection.parse(written['fairness'])).toMatchObject({
      policy: 'window',
      windowSizeMs: 600_000,
    });
  });

  it('takes a session boost of Kthena', () => {
    const { written, origins, faults, notes } = readKthenaEnvironment({
      ENABLE_SESSION_BOOST: 'T',
      SESSION_BOOST_HEADER: 'X-Chat',
      SESSION_BOOST_MAX_SESSIONS: '100',
      SESSION_BOOST_INFLIGHT_PER_POD: '4',
      SESSION_BOOST_GRACE_PERIOD: '1500us',
      SESSION_BOOST_TIMEOUT: '45s',
    });
    expect(written).toEqual({
      sessionBoost: {
        enabled: true,
        header: 'X-Chat',
        maxSessions: 100,
        inflightPerPod: 4,
        gracePeriod: '1.5ms',
        timeout: '45s',
      },
    });
    expect(origins.get('sessionBoost.enabled')).toBe('ENABLE_SESSION_BOOST');
    expect(faults).toEqual([]);
    expect(notes).toEqual([]);
    expect(sessionBoostSection.parse(written['sessionBoost'])).toMatchObject({
      header: 'x-chat',
      gracePeriodMs: 1.5,
      timeoutMs: 45_000,
    });
  });

  it.each(['0', '0s', '-1s', '-24h'])(
    'lets sessions wait as long as they can with a timeout of %s',
    (text) => {
      const { written } = readKthenaEnvironment({ SESSION_BOOST_TIMEOUT: text });
      expect(sessionBoostSection.parse(written['sessionBoost']).timeoutMs).toBe(3_540_000);
    },
  );

  it.each([
    ['redis', undefined, undefined, 'redis://redis:6379'],
    ['10.0.0.1', '6380', undefined, 'redis://10.0.0.1:6380'],
    ['redis.svc.cluster.local', '', 'sesame', 'redis://:sesame@redis.svc.cluster.local:6379'],
    ['fd00::1', '6379', 'a/b:c@d%e#f', 'redis://:a%2Fb%3Ac%40d%25e%23f@[fd00::1]:6379'],
  ])(
    'finds a Redis server by REDIS_HOST=%s, REDIS_PORT=%s and REDIS_PASSWORD=%s',
    (host, port, password, url) => {
      const env = { REDIS_HOST: host, REDIS_PORT: port, REDIS_PASSWORD: password };
      const { written, origins, faults, notes } = readKthenaEnvironment(env);
      expect(written).toEqual({ limits: { store: url } });
      expect([...origins]).toEqual([['limits.store', 'REDIS_HOST']]);
      expect([faults, notes]).toEqual([[], []]);
      expect(limitsSection.parse(written['limits']).store).toBe(url);
    },
  );

  it('does not look at the other variables of Redis without a host, which Kubernetes sets for a Service', () => {
    const env = { REDIS_PORT: 'tcp://10.0.0.1:6379', REDIS_PASSWORD: 'sesame' };
    expect(readKthenaEnvironment(env)).toEqual(nothing);
    expect(readKthenaEnvironment({ ...env, REDIS_HOST: '' })).toEqual(nothing);
    const { faults, written } = readKthenaEnvironment({ ...env, REDIS_HOST: 'redis' });
    expect(faults).toEqual([
      {
        variable: 'REDIS_PORT',
        value: 'tcp://10.0.0.1:6379',
        message: '"tcp://10.0.0.1:6379" is not a whole number from 1 to 65535',
      },
    ]);
    expect(written).toEqual({ limits: { store: 'redis://:sesame@redis:6379' } });
  });

  it('turns nothing on without ENABLE_FAIRNESS_SCHEDULING', () => {
    expect(readKthenaEnvironment({ FAIRNESS_WINDOW_SIZE: '1h' }).written).toEqual({
      fairness: { windowSize: '1h' },
    });
    expect(
      readKthenaEnvironment({ ENABLE_FAIRNESS_SCHEDULING: 'false', FAIRNESS_MAX_CONCURRENT: '8' }).written,
    ).toEqual({ fairness: { enabled: false, maxConcurrent: 8 } });
  });

  it.each([
    ['DRAIN_TIMEOUT', '+90s', { limits: { drainTimeout: '90000ms' } }],
    ['DRAIN_TIMEOUT', '1h0m.5s', { limits: { drainTimeout: '3600500ms' } }],
    ['METRICS_SCRAPE_INTERVAL', '1500us', { scrape: { interval: '1.5ms' } }],
    ['METRICS_SCRAPE_INTERVAL', '1ns', { scrape: { interval: '0.000001ms' } }],
  ])('says %s=%s in Sluice’s own form', (name, text, expected) => {
    const { written } = readKthenaEnvironment({ [name]: text });
    expect(written).toEqual(expected);
    const [[section, fields]] = Object.entries(written) as [['limits' | 'scrape', unknown]];
    expect(sections[section].safeParse(fields).error).toBeUndefined();
  });

  it.each([
    ['json', 'json'],
    ['text', 'pretty'],
  ])('takes ACCESS_LOG_FORMAT=%s for %s', (text, format) => {
    expect(readKthenaEnvironment({ ACCESS_LOG_FORMAT: text }).written).toEqual({ log: { format } });
  });

  it.each([
    ['ENABLE_FAIRNESS_SCHEDULING', 'yes', bools],
    ['FAIRNESS_WINDOW_SIZE', '59s', 'a duration from 1m to 1h, like 10m'],
    ['FAIRNESS_WINDOW_SIZE', '61m', 'a duration from 1m to 1h, like 10m'],
    ['FAIRNESS_WINDOW_SIZE', '300', 'a duration from 1m to 1h, like 10m'],
    ['FAIRNESS_INPUT_TOKEN_WEIGHT', '-1', weight],
    ['FAIRNESS_OUTPUT_TOKEN_WEIGHT', 'Inf', weight],
    ['FAIRNESS_PRIORITY_TOKEN_WEIGHT', 'NaN', weight],
    ['FAIRNESS_PRIORITY_REQUEST_NUM_WEIGHT', '1,5', weight],
    ['FAIRNESS_MAX_CONCURRENT', '1.5', 'a whole number of 0 or more'],
    ['FAIRNESS_MAX_QPS', '0', 'a whole number of 1 or more'],
    ['FAIRNESS_PRIORITY_REFRESH_RETRIES', '-1', 'a whole number of 0 or more'],
    ['FAIRNESS_REBUILD_THRESHOLD', '0', 'a whole number of 1 or more'],
    ['FAIRNESS_INPUT_TOKEN_WEIGHT', '1e7', weight],
    ['FAIRNESS_QUEUE_TIMEOUT', '0s', 'a duration of more than 0, up to 59m, like 30s or 1m30s'],
    ['FAIRNESS_QUEUE_TIMEOUT', '1h', 'a duration of more than 0, up to 59m, like 30s or 1m30s'],
    ['ENABLE_SESSION_BOOST', 'on', bools],
    ['SESSION_BOOST_HEADER', 'a b', 'the name of a header'],
    ['SESSION_BOOST_MAX_SESSIONS', '0', 'a whole number from 1 to 1000000'],
    ['SESSION_BOOST_INFLIGHT_PER_POD', 'x', 'a whole number of 1 or more'],
    ['SESSION_BOOST_GRACE_PERIOD', '-1s', 'a duration of 0 or more, up to 24 days, like 500ms'],
    ['SESSION_BOOST_TIMEOUT', '30', 'a duration up to 59m, like 30s; 0 or less is the longest'],
    ['SESSION_BOOST_TIMEOUT', '2h', 'a duration up to 59m, like 30s; 0 or less is the longest'],
    ['REDIS_HOST', 'redis:6379', 'a host name or an IP address'],
    ['REDIS_HOST', 'user@redis', 'a host name or an IP address'],
    ['METRICS_SCRAPE_INTERVAL', '0', positiveDuration],
    ['METRICS_SCRAPE_INTERVAL', '0.1ns', positiveDuration],
    ['DRAIN_TIMEOUT', '600h', positiveDuration],
    ['ACCESS_LOG_ENABLED', 'maybe', bools],
    ['ACCESS_LOG_FORMAT', 'JSON', 'text or json'],
  ])('refuses %s=%s', (variable, value, accepted) => {
    expect(readKthenaEnvironment({ [variable]: value })).toEqual({
      ...nothing,
      faults: [{ variable, value, message: `${JSON.stringify(value)} is not ${accepted}` }],
    });
  });

  it('keeps what is right beside what is wrong', () => {
    const { written, faults } = readKthenaEnvironment({ DRAIN_TIMEOUT: 'soon', ACCESS_LOG_ENABLED: 'true' });
    expect(written).toEqual({ log: { access: true } });
    expect(faults.map(({ variable }) => variable)).toEqual(['DRAIN_TIMEOUT']);
  });

  it.each<[Record<string, string>, string[]]>([
    [
      { ENABLE_FAIRNESS_SCHEDULING: '1', FAIRNESS_PRIORITY_REFRESH_RETRIES: '3' },
      ['FAIRNESS_PRIORITY_REFRESH_RETRIES is not in effect: priorities are always current here'],
    ],
    [
      {
        ENABLE_FAIRNESS_SCHEDULING: '1',
        FAIRNESS_PRIORITY_REFRESH_RETRIES: '3',
        FAIRNESS_REBUILD_THRESHOLD: '5',
      },
      ['FAIRNESS_PRIORITY_REFRESH_RETRIES', 'FAIRNESS_REBUILD_THRESHOLD'].map(
        (name) => `${name} is not in effect: priorities are always current here`,
      ),
    ],
    [{ FAIRNESS_PRIORITY_REFRESH_RETRIES: '3', FAIRNESS_REBUILD_THRESHOLD: '5' }, []],
    [{ ENABLE_FAIRNESS_SCHEDULING: '1', FAIRNESS_REBUILD_THRESHOLD: '5' }, []],
    [{ ENABLE_FAIRNESS_SCHEDULING: '1', FAIRNESS_PRIORITY_REFRESH_RETRIES: '0' }, []],
    [{ POD_NAMESPACE: 'kthena-system' }, []],
  ])('notes of %p what is asked for and not there', (env, expected) => {
    const { notes, faults } = readKthenaEnvironment(env);
    expect(notes).toEqual(expected);
    expect(faults).toEqual([]);
  });

  it('lets FAIRNESS_MAX_CONCURRENT take the place of FAIRNESS_MAX_QPS, as Kthena does', () => {
    const both = readKthenaEnvironment({ FAIRNESS_MAX_CONCURRENT: '8', FAIRNESS_MAX_QPS: '50' });
    expect(both.written).toEqual({ fairness: { maxConcurrent: 8 } });
    expect([...both.origins.keys()]).toEqual(['fairness.maxConcurrent']);
    expect(both.notes).toEqual([
      'FAIRNESS_MAX_QPS is not in effect: FAIRNESS_MAX_CONCURRENT is more than 0, and takes its place as in Kthena',
    ]);
    const off = readKthenaEnvironment({ FAIRNESS_MAX_CONCURRENT: '0', FAIRNESS_MAX_QPS: '50' });
    expect(off.written).toEqual({ fairness: { maxConcurrent: 0, maxQps: 50 } });
    expect(off.notes).toEqual([]);
  });
});

describe('kthenaVariables', () => {
  it('accept their own defaults', () => {
    const refused = kthenaVariables.filter(
      ({ kthenaDefault, read }) => kthenaDefault !== '' && read(kthenaDefault) === undefined,
    );
    expect(refused.map(({ name }) => name)).toEqual([]);
  });

  it.each(
    kthenaVariables.filter(({ target }) => target !== undefined).map(({ name, target }) => [name, target!]),
  )('%s sets %s, which there is', (_, target) => {
    const [section = '', field] = target.split('.');
    expect(Object.keys(sections)).toContain(section);
    expect(fieldsAt(sections[section as keyof typeof sections], [])).toContain(field);
  });

  it('are each there once', () => {
    const names = kthenaVariables.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toHaveLength(26);
  });
});
