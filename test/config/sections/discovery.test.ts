import { describe, expect, it } from '@jest/globals';
import { describeIssue } from '../../../src/config/describe-issue.ts';
import { discoverySection } from '../../../src/config/sections/discovery.ts';

const types = ['chat', 'completion', 'embeddings', 'rerank', 'score', 'transcription', 'vision', 'messages'];

/** Path and message of every fault below `static`. */
function faultsOf(written: object): string[] {
  const root = { static: written };
  const issues = discoverySection.safeParse(root).error?.issues ?? [];
  return issues.map((issue) => `${issue.path.slice(1).join('.')}: ${describeIssue(issue, root)}`);
}

describe('discoverySection', () => {
  it('has no health checks by default', () => {
    expect(discoverySection.parse({})).toEqual({
      type: 'static',
      dnsIntervalMs: 10_000,
      static: { backends: [], healthChecks: undefined },
      kubernetes: undefined,
    });
  });

  const kubernetes = { pods: [{}] };
  it.each<[object, object]>([
    [{}, { type: 'static', kubernetes: undefined }],
    [{ type: 'static' }, { type: 'static', kubernetes: undefined }],
    [{ type: 'static', static: { backends: [{ url: 'http://a:1' }] } }, { type: 'static' }],
    [{ kubernetes }, { type: 'kubernetes', kubernetes: { silenceTimeoutMs: 30_000 } }],
    [
      { type: 'kubernetes', kubernetes },
      { type: 'kubernetes', kubernetes: { inferencePools: [] } },
    ],
    [{ kubernetes, static: { backends: [] } }, { type: 'kubernetes' }],
    [{ kubernetes, static: { healthChecks: { enabled: false, interval: 5 } } }, { type: 'kubernetes' }],
  ])('of %j says where endpoints come from', (written, expected) => {
    expect(discoverySection.parse(written)).toMatchObject(expected);
  });

  const backends = [{ url: 'http://a:1', type: 'chat' }];
  const needsSection =
    'type: "kubernetes" needs the section discovery.kubernetes, which says where the engines are';
  const besideList =
    'static.backends: lists engines, and discovery.kubernetes or --service-discovery k8s finds others: keep one of the two';
  const besideChecks =
    'static.healthChecks.enabled: true is for engines that are listed, and discovery.kubernetes or --service-discovery k8s finds others: remove it';
  it.each<[string, object, string[]]>([
    ['kubernetes without its section', { type: 'kubernetes' }, [needsSection]],
    [
      'kubernetes without its section beside other faults',
      { type: 'kubernetes', dnsInterval: 0, static: { backends: 5 } },
      [
        'dnsInterval: duration 0 is out of range: more than 0 to 24 days',
        'static.backends: 5 is not a list',
        needsSection,
      ],
    ],
    [
      'static beside the other section',
      { type: 'static', kubernetes },
      ['type: "static" stands beside the section discovery.kubernetes: keep one of the two'],
    ],
    ['a list beside the other section', { kubernetes, static: { backends } }, [besideList]],
    [
      'health checks beside the other section',
      { kubernetes, static: { healthChecks: { enabled: true } } },
      [besideChecks],
    ],
    [
      'all of it at once',
      { kubernetes: {}, static: { backends, healthChecks: { enabled: true } } },
      ['kubernetes: names no engines: give pods, inferencePools or services', besideList, besideChecks],
    ],
    ['another type', { type: 'k8s' }, ['type: "k8s" is not one of "static", "kubernetes"']],
  ])('refuses %s', (_, written, faults) => {
    const issues = discoverySection.safeParse(written).error?.issues ?? [];
    expect(issues.map((issue) => `${issue.path.join('.')}: ${describeIssue(issue, written)}`)).toEqual(
      faults,
    );
  });

  it.each<[object, object | undefined]>([
    [{ enabled: false, interval: '30s' }, undefined],
    [{ enabled: true }, { intervalMs: 60_000, timeoutMs: 10_000 }],
    [
      { enabled: true, interval: '1m30s', timeout: 2.5 },
      { intervalMs: 90_000, timeoutMs: 2500 },
    ],
  ])('gives the health checks that %j means', (healthChecks, expected) => {
    expect(discoverySection.parse({ static: { healthChecks } }).static.healthChecks).toEqual(expected);
  });

  it('takes every type, with health checks and without', () => {
    const backends = types.map((type, i) => ({ url: `http://a:${8000 + i}`, models: ['m'], type }));
    expect(faultsOf({ backends })).toEqual([]);
    expect(faultsOf({ backends, healthChecks: { enabled: true } })).toEqual([]);
    expect(discoverySection.parse({ static: { backends } }).static.backends).toEqual(backends);
  });

  const untyped = [{ url: 'http://a:1' }, { url: 'http://b:1', type: 'chat' }, { url: 'http://c:1' }];
  const missing = `model types must be provided where health checks are on: say what its models are for, one of ${types.join(', ')}`;
  it.each<[string, object, string[]]>([
    [
      'health checks of backends without a type',
      { backends: untyped, healthChecks: { enabled: true } },
      [`backends.0.type: ${missing}`, `backends.2.type: ${missing}`],
    ],
    [
      'a type that there is not',
      { backends: [{ url: 'http://a:1', type: 'rerankk' }] },
      [
        `backends.0.type: "rerankk" is not one of ${types.map((type) => `"${type}"`).join(', ')}; did you mean "rerank"?`,
      ],
    ],
    [
      'times that are none',
      { healthChecks: { interval: 0, timeout: '10 s' } },
      [
        'healthChecks.interval: duration 0 is out of range: more than 0 to 24 days',
        'healthChecks.timeout: "10 s" is not a duration: write it like 250ms, 1s, 5m, or as a number of seconds',
      ],
    ],
    ['another field', { healthChecks: { enable: true } }, ['healthChecks: there is no field "enable" here']],
  ])('refuses %s', (_, written, faults) => {
    expect(faultsOf(written)).toEqual(faults);
  });

  it('takes backends without a type where health checks are off', () => {
    expect(faultsOf({ backends: untyped })).toEqual([]);
    expect(faultsOf({ backends: untyped, healthChecks: { enabled: false } })).toEqual([]);
  });
});
