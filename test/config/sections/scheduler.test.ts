import { describe, expect, it } from '@jest/globals';
import { ConfigError } from '../../../src/config/config-error.ts';
import { parseConfig } from '../../../src/config/load.ts';

const profileOf = (text: string) => parseConfig(text, 'f').scheduler.profile;

function faultsOf(text: string): string[] {
  try {
    parseConfig(text, 'f');
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);
  }
  return [];
}

/** The scheduler of the router documentation, as it stands there. */
const documented = `pluginConfig:
- name: least-request
  args:
    maxWaitingRequests: 10
- name: least-latency
  args:
    TTFTTPOTWeightFactor: 0.5
- name: prefix-cache
  args:
    blockSizeToHash: 64
    maxBlocksToMatch: 128
    maxHashCacheSize: 50000
plugins:
  Filter:
    enabled:
      - least-request
    disabled:
      - lora-affinity
  Score:
    enabled:
      - name: least-request
        weight: 1
      - name: kv-cache
        weight: 1
      - name: least-latency
        weight: 1
      - name: prefix-cache
        weight: 1
`;

describe('scheduler section', () => {
  it('reads the documented configuration, bare or in its section, as the default', () => {
    const inSection = `scheduler:\n${documented.replace(/^/gm, '  ')}`;
    expect(profileOf(documented)).toEqual(profileOf(''));
    expect(profileOf(inSection)).toEqual(profileOf(''));
  });

  it('replaces the default list by `enabled`, in its order', () => {
    const profile = profileOf(
      'plugins: {Filter: {enabled: [lora-affinity, least-request]}, Score: {enabled: [{name: gpu-usage, weight: 0.5}, {name: prefix-cache, weight: 0}]}}',
    );
    expect(profile.filters.map(({ type }) => type)).toEqual(['lora-affinity', 'least-request']);
    expect(profile.scorers.map(({ type, weight }) => [type, weight])).toEqual([
      ['kv-cache', 0.5],
      ['prefix-cache', 0],
    ]);
  });

  it('takes away what is `disabled`, from the default list and from `enabled`', () => {
    const profile = profileOf(
      'plugins: {Filter: {enabled: [lora-affinity, least-request], disabled: [lora-affinity]}, Score: {disabled: [gpu-usage, {name: least-latency}, {name: least-request, weight: 1}]}}',
    );
    expect(profile.filters.map(({ type }) => type)).toEqual(['least-request']);
    expect(profile.scorers.map(({ type }) => type)).toEqual(['prefix-cache']);
  });

  it('can do without filters', () => {
    expect(profileOf('plugins: {Filter: {enabled: []}}').filters).toEqual([]);
    expect(profileOf('plugins: {Filter: {disabled: [least-request]}}').filters).toEqual([]);
  });

  it('lets random run alone', () => {
    expect(profileOf('plugins: {Score: {enabled: [{name: random, weight: 1}]}}').scorers).toEqual([
      { type: 'random', params: {}, weight: 1 },
    ]);
    expect(
      profileOf(
        'plugins: {Score: {enabled: [{name: random, weight: 1}, {name: kv-cache, weight: 1}], disabled: [kv-cache]}}',
      ).scorers,
    ).toHaveLength(1);
  });

  it('gives arguments to every plugin of the name, without regard to case', () => {
    const profile = profileOf(
      'pluginConfig: [{name: least-request, args: {MAXWAITINGREQUESTS: 4, loadscale: 3}}, {name: gpu-usage}, {name: least-latency, args: }]',
    );
    expect(profile.filters[0]?.params).toEqual({ maxWaitingRequests: 4, loadScale: 3 });
    expect(profile.scorers[0]?.params).toEqual({ maxWaitingRequests: 4, loadScale: 3 });
    expect(profile.scorers[2]?.params).toEqual({ TTFTTPOTWeightFactor: 0.5, minSpread: 0.2 });
  });

  const faults: [string, string, unknown[]][] = [
    [
      'an unknown filter',
      'plugins:\n  Filter:\n    enabled: [least-requests]',
      ['3:15 plugins.Filter.enabled[0]: there is no filter "least-requests"; did you mean "least-request"?'],
    ],
    [
      'an unknown scorer, far from any',
      'plugins:\n  Score:\n    enabled:\n      - name: kvcache-aware\n        weight: 1',
      [
        '4:15 plugins.Score.enabled[0].name: there is no scorer "kvcache-aware"; there are least-request, kv-cache, gpu-usage, least-latency, prefix-cache, random',
      ],
    ],
    [
      'a filter among the scorers',
      'scheduler:\n  plugins:\n    Score:\n      enabled: [{name: lora-affinity, weight: 1}]',
      ['4:24 scheduler.plugins.Score.enabled[0].name: "lora-affinity" is a filter, not a scorer'],
    ],
    [
      'a scorer among the filters',
      'plugins: {Filter: {enabled: [kv-cache]}}',
      ['1:30 plugins.Filter.enabled[0]: "kv-cache" is a scorer, not a filter'],
    ],
    [
      'an unknown plugin among the disabled',
      'plugins: {Filter: {disabled: [lora-afinity]}}',
      ['1:31 plugins.Filter.disabled[0]: there is no filter "lora-afinity"; did you mean "lora-affinity"?'],
    ],
    [
      'a scorer without weight',
      'plugins: {Score: {enabled: [{name: kv-cache}]}}',
      ['1:29 plugins.Score.enabled[0].weight: is missing'],
    ],
    [
      'a weight below 0',
      'plugins: {Score: {enabled: [{name: kv-cache, weight: -2}]}}',
      ['1:54 plugins.Score.enabled[0].weight: -2 is too small: the least is 0'],
    ],
    [
      'a weight that is text',
      'plugins: {Score: {enabled: [{name: kv-cache, weight: "1"}]}}',
      ['1:54 plugins.Score.enabled[0].weight: "1" is not a number'],
    ],
    [
      'a list in lower case',
      'plugins:\n  score: {}',
      ['2:3 plugins.score: there is no field "score" here; did you mean "Score"?'],
    ],
    [
      'no scorer',
      'plugins:\n  Score:\n    enabled: []',
      ['3:14 plugins.Score.enabled: leaves no scorer: enable at least one'],
    ],
    [
      'no scorer left',
      'plugins:\n  Score:\n    enabled: [{name: kv-cache, weight: 1}]\n    disabled: [gpu-usage]',
      ['4:15 plugins.Score.disabled: leaves no scorer: enable at least one'],
    ],
    [
      'a list without content',
      'plugins:\n  Score:\n    enabled:',
      [expect.stringMatching(/^3:\d+ plugins.Score.enabled: null is not a list$/)],
    ],
    [
      'random beside another',
      'plugins: {Score: {enabled: [{name: random, weight: 1}, {name: kv-cache, weight: 1}]}}',
      ['1:36 plugins.Score.enabled[0].name: "random" must be the only scorer'],
    ],
    [
      'a scorer twice, once by its alias',
      'plugins: {Score: {enabled: [{name: gpu-usage, weight: 1}, {name: kv-cache, weight: 1}]}}',
      ['1:59 plugins.Score.enabled[1]: "kv-cache" is listed twice'],
    ],
    [
      'a filter twice',
      'plugins: {Filter: {enabled: [least-request, least-request]}}',
      ['1:45 plugins.Filter.enabled[1]: "least-request" is listed twice'],
    ],
    [
      'a plugin configured twice',
      'pluginConfig: [{name: kv-cache}, {name: gpu-usage}]',
      ['1:41 pluginConfig[1].name: "kv-cache" is configured twice'],
    ],
    [
      'an unknown plugin configured',
      'pluginConfig: [{name: prefixcache}]',
      ['1:23 pluginConfig[0].name: there is no plugin "prefixcache"; did you mean "prefix-cache"?'],
    ],
    [
      'a mistyped argument',
      'pluginConfig:\n  - name: prefix-cache\n    args:\n      blockSizeToHahs: 64',
      [
        '4:24 pluginConfig[0].args.blockSizeToHahs: "prefix-cache" has no parameter "blockSizeToHahs"; did you mean "blockSizeToHash"?',
      ],
    ],
    [
      'an argument of the wrong type, once for both plugins of the name',
      'pluginConfig:\n  - name: least-request\n    args: {maxwaitingrequests: "10"}',
      ['3:32 pluginConfig[0].args.maxwaitingrequests: "10" is not a number'],
    ],
    [
      'an argument out of range',
      'pluginConfig: [{name: least-latency, args: {TTFTTPOTWeightFactor: 1.5}}]',
      ['1:67 pluginConfig[0].args.TTFTTPOTWeightFactor: 1.5 is too great: the greatest is 1'],
    ],
    [
      'an argument in two spellings',
      'pluginConfig:\n  - name: least-request\n    args: {maxWaitingRequests: 1, maxwaitingrequests: 2}',
      ['3:55 pluginConfig[0].args.maxwaitingrequests: the parameter "maxWaitingRequests" is given twice'],
    ],
    [
      'sections beside a bare scheduler',
      'plugins: {}\nauth: {}\nlog: {}',
      [
        '2:1 auth: this version of Sluice does not check tokens: remove the section, and keep strangers out in front of Envoy',
        '3:1 log: there is no field "log" here; there are pluginConfig, plugins, maxEndpoints',
      ],
    ],
  ];
  it.each(faults)('reports %s', (_, text, expected) => {
    expect(faultsOf(text)).toEqual(expected);
  });
});
