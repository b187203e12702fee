import { describe, expect, it } from '@jest/globals';
import { ConfigError } from '../../../src/config/config-error.ts';
import { loadConfig, parseConfig } from '../../../src/config/load.ts';
import { createRegistry } from '../../../src/scheduling/registry.ts';
import { faultsOf as faultsThrown } from '../source/faults-of.ts';

const profileOf = (text: string) => parseConfig(text, 'f').config.scheduler.profile;
const registry = createRegistry();
const filters = registry.names('filter').join(', ');
const scorers = registry.names('scorer').join(', ');

const faultsOf = (text: string): string[] => faultsThrown(() => parseConfig(text, 'f'));

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

  it('takes arguments of plugins that do not run', () => {
    const profile = profileOf(
      'pluginConfig: [{name: least-latency, args: {TTFTTPOTWeightFactor: 1}}]\nplugins: {Score: {enabled: [{name: kv-cache, weight: 1}]}}',
    );
    expect(profile.scorers).toEqual([{ type: 'kv-cache', params: {}, weight: 1 }]);
  });

  const listFaults: [string, string, unknown[]][] = [
    [
      'an unknown filter',
      'plugins:\n  Filter:\n    enabled: [least-requests]',
      ['3:15 plugins.Filter.enabled[0]: there is no filter "least-requests"; did you mean "least-request"?'],
    ],
    [
      'an unknown scorer, far from any',
      'plugins:\n  Score:\n    enabled:\n      - name: cheapest\n        weight: 1',
      [`4:15 plugins.Score.enabled[0].name: there is no scorer "cheapest"; there are ${scorers}`],
    ],
    [
      'the scorer of Kthena that is not here',
      'plugins:\n  Score:\n    enabled:\n      - name: kvcache-aware\n        weight: 1',
      [
        '4:15 plugins.Score.enabled[0].name: there is no "kvcache-aware" here: it needs a side-car in each engine and Redis; "prefix-cache" comes nearest',
      ],
    ],
    [
      'a filter among the scorers',
      'scheduler:\n  plugins:\n    Score:\n      enabled: [{name: lora-affinity, weight: 1}]',
      [
        '4:24 scheduler.plugins.Score.enabled[0].name: "lora-affinity" is a filter, not a scorer: list it under plugins.Filter',
      ],
    ],
    [
      'a scorer among the filters',
      'plugins: {Filter: {enabled: [kv-cache]}}',
      ['1:30 plugins.Filter.enabled[0]: "kv-cache" is a scorer, not a filter: list it under plugins.Score'],
    ],
    [
      'a picker among the scorers',
      'plugins: {Score: {disabled: [max-score]}}',
      [
        '1:30 plugins.Score.disabled[0]: "max-score" is a picker, not a scorer: it is in use without being listed',
      ],
    ],
    [
      'an unknown plugin among the disabled',
      'plugins: {Filter: {disabled: [lora-afinity]}, Score: {disabled: [{name: gpu-use}]}}',
      [
        '1:31 plugins.Filter.disabled[0]: there is no filter "lora-afinity"; did you mean "lora-affinity"?',
        '1:73 plugins.Score.disabled[0].name: there is no scorer "gpu-use"; did you mean "gpu-usage"?',
      ],
    ],
    [
      'what is neither a name nor has one',
      'plugins: {Filter: {enabled: [{name: least-request}]}, Score: {disabled: [[], {weight: x}]}}',
      [
        '1:30 plugins.Filter.enabled[0]: {"name":"least-request"} is not a name of a plugin',
        '1:74 plugins.Score.disabled[0]: [] is not a string or a mapping',
        '1:78 plugins.Score.disabled[1]: name: is missing; weight: "x" is not a number of 0 or more',
      ],
    ],
    [
      'a scorer without weight, as a mapping and as a name',
      'plugins: {Score: {enabled: [{name: kv-cache}, least-latency]}}',
      [
        '1:29 plugins.Score.enabled[0].weight: is missing: write a number of 0 or more',
        '1:47 plugins.Score.enabled[1]: "least-latency" has no weight: write { name: least-latency, weight: 1 }',
      ],
    ],
    [
      'weights that are none',
      'plugins:\n  Score:\n    enabled:\n      - {name: kv-cache, weight: -2}\n      - {name: least-latency, weight: "1"}\n      - {name: prefix-cache, weight: heavy}\n      - {name: least-request, weight: .inf}',
      [
        '4:34 plugins.Score.enabled[0].weight: -2 is not a number of 0 or more',
        '5:39 plugins.Score.enabled[1].weight: "1" is not a number of 0 or more: remove the quotes',
        '6:38 plugins.Score.enabled[2].weight: "heavy" is not a number of 0 or more',
        '7:39 plugins.Score.enabled[3].weight: .inf is not a finite number of 0 or more',
      ],
    ],
    [
      'weights that come to no number',
      'plugins: {Score: {enabled: [{name: kv-cache, weight: 1e308}, {name: prefix-cache, weight: 9007199254740991}]}}',
      ['1:54 plugins.Score.enabled[0].weight: 1e+308 is too great: the greatest is 9007199254740991'],
    ],
    [
      'weights that are all 0',
      'plugins:\n  Score:\n    enabled: [{name: kv-cache, weight: 0}, {name: least-latency, weight: 1}]\n    disabled: [least-latency]',
      [
        '3:14 plugins.Score.enabled: gives every scorer the weight 0, so none counts: give at least one of them more',
      ],
    ],
    [
      'lists in lower case',
      'plugins:\n  score: {}\n  filter: {}',
      [
        '2:3 plugins.score: there is no field "score" here; did you mean "Score"?',
        '3:3 plugins.filter: there is no field "filter" here; did you mean "Filter"?',
      ],
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
      'no default scorer left',
      'plugins:\n  Score:\n    disabled: [gpu-usage, least-request, least-latency, prefix-cache]',
      ['3:15 plugins.Score.disabled: leaves no scorer: enable at least one'],
    ],
    [
      'a list without content',
      'plugins:\n  Score:\n    enabled:',
      [
        expect.stringMatching(
          /^3:\d+ plugins.Score.enabled: has nothing below it: write \[] for none, or remove it for the default$/,
        ),
      ],
    ],
    [
      'lists that are none',
      'plugins: {Score: {enabled: kv-cache}}\npluginConfig: {name: kv-cache}',
      [
        '1:28 plugins.Score.enabled: "kv-cache" is not a list',
        '2:15 pluginConfig: {"name":"kv-cache"} is not a list',
      ],
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
      'sections beside a bare scheduler, nearest word included',
      'plugins: {}\nmaxEndpoint: 2',
      ['2:1 maxEndpoint: there is no field "maxEndpoint" here; did you mean "maxEndpoints"?'],
    ],
  ];
  it.each(listFaults)('reports %s', (_, text, expected) => {
    expect(faultsOf(text)).toEqual(expected);
  });

  const argFaults: [string, string, string[]][] = [
    [
      'a plugin configured twice',
      'pluginConfig: [{name: kv-cache}, {name: gpu-usage}]',
      ['1:41 pluginConfig[1].name: "kv-cache" is configured twice'],
    ],
    [
      'an unknown plugin configured, without a word on its arguments',
      'pluginConfig: [{name: prefixcache, args: {x: 1}}, {args: {}}]',
      [
        '1:23 pluginConfig[0].name: there is no plugin "prefixcache"; did you mean "prefix-cache"?',
        '1:51 pluginConfig[1].name: is missing',
      ],
    ],
    [
      'a mistyped argument where it is written',
      'pluginConfig:\n  - name: prefix-cache\n    args:\n      blockSizeToHahs: 64',
      [
        '4:7 pluginConfig[0].args.blockSizeToHahs: "prefix-cache" has no parameter "blockSizeToHahs"; did you mean "blockSizeToHash"?',
      ],
    ],
    [
      'arguments far from any',
      'pluginConfig: [{name: least-latency, args: {zone: a}}, {name: random, args: {seed: 1}}]',
      [
        '1:45 pluginConfig[0].args.zone: "least-latency" has no parameter "zone"; there are TTFTTPOTWeightFactor, minSpread',
        '1:78 pluginConfig[1].args.seed: "random" has no parameter "seed"; it has none',
      ],
    ],
    [
      'arguments that are no mapping',
      'pluginConfig: [{name: least-request, args: 10}]',
      ['1:44 pluginConfig[0].args: 10 is not a mapping'],
    ],
    [
      'an argument of the wrong type, once for both plugins of the name',
      'pluginConfig:\n  - name: least-request\n    args: {maxwaitingrequests: "10"}',
      [
        '3:32 pluginConfig[0].args.maxwaitingrequests: "10" is not a whole number of 1 or more: remove the quotes',
      ],
    ],
    [
      'arguments out of range',
      `pluginConfig:
  - { name: least-request, args: { maxWaitingRequests: 0, loadScale: -1 } }
  - { name: least-latency, args: { TTFTTPOTWeightFactor: .nan, minSpread: .inf } }
  - { name: prefix-cache, args: { blockSizeToHash: 65537, maxBlocksToMatch: -1, topKMatches: 1.5 } }`,
      [
        '2:56 pluginConfig[0].args.maxWaitingRequests: 0 is not a whole number of 1 or more',
        '2:70 pluginConfig[0].args.loadScale: -1 is not a number of 0 or more',
        '3:58 pluginConfig[1].args.TTFTTPOTWeightFactor: .nan is not a number from 0 to 1',
        '3:75 pluginConfig[1].args.minSpread: .inf is not a finite number from 0 to 1',
        '4:52 pluginConfig[2].args.blockSizeToHash: 65537 is not a whole number from 1 to 65536',
        '4:77 pluginConfig[2].args.maxBlocksToMatch: -1 is not a whole number from 1 to 4096',
        '4:94 pluginConfig[2].args.topKMatches: 1.5 is not a whole number of 1 or more',
      ],
    ],
    [
      'an argument in two spellings',
      'pluginConfig:\n  - name: least-request\n    args: {maxWaitingRequests: 1, maxwaitingrequests: 2}',
      ['3:35 pluginConfig[0].args.maxwaitingrequests: the parameter "maxWaitingRequests" is given twice'],
    ],
  ];
  it.each(argFaults)('reports %s', (_, text, expected) => {
    expect(faultsOf(text)).toEqual(expected);
  });

  it('reports faults of lists as a whole beside those of their items, of arguments and of other fields', () => {
    const text = `pluginConfig:
  - { name: least-request, args: { maxWaitingRequests: ten } }
  - { name: least-request, args: { queue: 1 } }
  - prefix-cache
plugins:
  Filter: { enabled: [lora-affinity, least-requst, lora-affinity] }
  Score:
    enabled:
      - { name: random, weight: 1 }
      - { name: kv-cache, weight: x }
      - { name: gpu-usage, weight: 1, wieght: 2 }
  Bind: {}
maxEndpoints: many`;
    expect(faultsOf(text).map((fault) => fault.slice(0, fault.indexOf(': ')))).toEqual([
      '2:56 pluginConfig[0].args.maxWaitingRequests',
      '3:13 pluginConfig[1].name',
      '3:36 pluginConfig[1].args.queue',
      '4:5 pluginConfig[2]',
      '6:38 plugins.Filter.enabled[1]',
      '6:52 plugins.Filter.enabled[2]',
      '9:17 plugins.Score.enabled[0].name',
      '10:35 plugins.Score.enabled[1].weight',
      '11:9 plugins.Score.enabled[2]',
      '11:39 plugins.Score.enabled[2].wieght',
      '12:3 plugins.Bind',
      '13:15 maxEndpoints',
    ]);
  });
});

/** What becomes of a configuration: what it is refused for, or what runs. */
type Outcome = readonly unknown[] | { readonly runs: string; readonly warns?: readonly string[] };

/** A warning without what it says of the repair: then it reads as the fault does. */
function withoutConsequence({ path, message }: { readonly path: string; readonly message: string }): string {
  return `${path}: ${message.replace(/; [^;]*?(ignored|taken as .*)$/, '')}`;
}

function outcomeOf(text: string, lenient: boolean): Outcome {
  try {
    const { config, warnings } = parseConfig(text, 'f', { lenient });
    const { filters, scorers } = config.scheduler.profile;
    const runs = `${filters.map(({ type }) => type).join(' ')} | ${scorers.map(({ type, weight }) => `${type}:${weight}`).join(' ')}`;
    const warns = warnings.map(withoutConsequence);
    return warns.length === 0 ? { runs } : { runs, warns };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map(({ path, message }) => `${path}: ${message}`);
  }
}

const theDefault = 'least-request | least-request:1 kv-cache:1 least-latency:1 prefix-cache:1';
const score = (...items: readonly string[]) => `plugins: {Score: {enabled: [${items.join(', ')}]}}`;
const configured = (name: string, args: string) => `pluginConfig: [{name: ${name}, args: ${args}}]`;
const onlyKvCache = 'least-request | kv-cache:1';
const noScorer = ['plugins.Score.enabled: leaves no scorer: enable at least one'];
/** The same is refused, or runs, with `--lenient` or without. */
const same = undefined;
/** Runs with what the strict reading refuses as warnings. */
const warned = (runs: string) => ({ runs });

/** The situation, a configuration, what becomes of it, and what with `--lenient`. */
const situations: Readonly<Record<string, [string, string, Outcome, Outcome | undefined][]>> = {
  'parts are absent': [
    ['the file is not YAML', 'plugins: [', [expect.any(String)], same],
    [
      'a pluginConfig entry is not a mapping',
      'pluginConfig: [5]',
      ['pluginConfig[0]: 5 is not a mapping'],
      same,
    ],
    [
      'the name of a filter is not a scalar',
      'plugins: {Filter: {enabled: [[a]]}}',
      ['plugins.Filter.enabled[0]: ["a"] is not a name of a plugin'],
      same,
    ],
    [
      'the name of a scorer is not a scalar',
      score('{name: {a: 1}, weight: 1}'),
      ['plugins.Score.enabled[0].name: {"a":1} is not a name of a plugin'],
      same,
    ],
    ['the file is empty', '', { runs: theDefault }, same],
    ['there is no scheduler section', 'log: {level: info}', { runs: theDefault }, same],
    ['there is nothing below scheduler', 'scheduler:', { runs: theDefault }, same],
    ['there are no plugins', 'pluginConfig: []', { runs: theDefault }, same],
    ['there is nothing below Filter and Score', 'plugins: {Filter: , Score: }', { runs: theDefault }, same],
    [
      'the enabled filters are []',
      'plugins: {Filter: {enabled: []}}',
      { runs: theDefault.replace(/^\S+/, '') },
      same,
    ],
    ['the enabled scorers are []', score(), noScorer, same],
    [
      'there is nothing below the enabled filters',
      'plugins: {Filter: {enabled: }}',
      ['plugins.Filter.enabled: has nothing below it: write [] for none, or remove it for the default'],
      warned(theDefault.replace(/^\S+/, '')),
    ],
    [
      'there is nothing below the enabled scorers',
      'plugins: {Score: {enabled: }}',
      ['plugins.Score.enabled: has nothing below it: write [] for none, or remove it for the default'],
      noScorer,
    ],
    [
      'there is nothing below pluginConfig and disabled',
      'pluginConfig:\nplugins: {Filter: {disabled: }, Score: {disabled: }}',
      ['pluginConfig', 'plugins.Filter.disabled', 'plugins.Score.disabled'].map(
        (path) => `${path}: has nothing below it: write [] for none, or remove it for the default`,
      ),
      warned(theDefault),
    ],
    [
      'args are absent or have nothing below them',
      'pluginConfig: [{name: random}, {name: kv-cache, args: }]',
      { runs: theDefault },
      same,
    ],
    [
      'it is the default of the Helm chart',
      `scheduler:
  pluginConfig:
  - {name: least-request, args: {maxWaitingRequests: 10}}
  - {name: least-latency, args: {TTFTTPOTWeightFactor: 0.5}}
  - {name: prefix-cache, args: {blockSizeToHash: 64, maxBlocksToMatch: 128, maxHashCacheSize: 50000}}
  plugins:
    Filter: {enabled: [least-request], disabled: [lora-affinity]}
    Score:
      enabled:
      - {name: least-request, weight: 1}
      - {name: gpu-usage, weight: 1}
      - {name: least-latency, weight: 1}
      - {name: prefix-cache, weight: 1}`,
      { runs: theDefault },
      same,
    ],
  ],
  'lists are combined': [
    [
      'a plugin is enabled and disabled',
      'plugins: {Filter: {enabled: [least-request, lora-affinity], disabled: [lora-affinity]}, Score: {enabled: [{name: kv-cache, weight: 1}, {name: random, weight: 1}], disabled: [{name: random, weight: 1}]}}',
      { runs: onlyKvCache },
      same,
    ],
    [
      'Score.disabled is a list of strings',
      'plugins: {Score: {disabled: [gpu-usage]}}',
      { runs: theDefault.replace(' kv-cache:1', '') },
      same,
    ],
    [
      'all scorers are disabled',
      'plugins: {Score: {enabled: [{name: kv-cache, weight: 1}], disabled: [kv-cache]}}',
      ['plugins.Score.disabled: leaves no scorer: enable at least one'],
      same,
    ],
    [
      'a filter is listed twice',
      'plugins: {Filter: {enabled: [least-request, lora-affinity, least-request]}}',
      ['plugins.Filter.enabled[2]: "least-request" is listed twice'],
      warned(theDefault.replace('|', 'lora-affinity |')),
    ],
    [
      'a scorer is listed three times',
      score(
        '{name: kv-cache, weight: 3}',
        '{name: kv-cache, weight: 2}',
        '{name: random, weight: 0}',
        '{name: gpu-usage, weight: 1}',
      ),
      [
        'plugins.Score.enabled[1]: "kv-cache" is listed twice',
        'plugins.Score.enabled[2].name: "random" must be the only scorer',
        'plugins.Score.enabled[3]: "kv-cache" is listed twice',
      ],
      warned(onlyKvCache),
    ],
    [
      'a key of a mapping is unknown, in any section',
      'scheduler: {plugins: {filter: {enabled: [x]}, Score: {enabled: [{name: kv-cache, weight: 1, wieght: 2}]}}}\nlog: {levle: debug}\nschedule: {}',
      [
        'scheduler.plugins.filter: there is no field "filter" here; did you mean "Filter"?',
        'scheduler.plugins.Score.enabled[0].wieght: there is no field "wieght" here; did you mean "weight"?',
        'log.levle: there is no field "levle" here; did you mean "level"?',
        'schedule: there is no field "schedule" here; did you mean "scheduler"?',
      ],
      warned(onlyKvCache),
    ],
  ],
  'a name is not that of a plugin': [
    [
      'a filter is unknown',
      'plugins: {Filter: {enabled: [least-request, least-used]}}',
      [`plugins.Filter.enabled[1]: there is no filter "least-used"; there are ${filters}`],
      warned(theDefault),
    ],
    [
      'a scorer is unknown',
      score('{name: foo, weight: 1}', '{name: kv-cache, weight: 1}'),
      [`plugins.Score.enabled[0].name: there is no scorer "foo"; there are ${scorers}`],
      warned(onlyKvCache),
    ],
    [
      'no scorer is known',
      score('{name: gpu-usge, weight: 1}'),
      ['plugins.Score.enabled[0].name: there is no scorer "gpu-usge"; did you mean "gpu-usage"?'],
      noScorer,
    ],
    [
      'an unknown plugin is disabled',
      'plugins: {Filter: {disabled: [x]}, Score: {disabled: [y, {name: z, weight: 1}]}}',
      [
        `plugins.Filter.disabled[0]: there is no filter "x"; there are ${filters}`,
        `plugins.Score.disabled[0]: there is no scorer "y"; there are ${scorers}`,
        `plugins.Score.disabled[1].name: there is no scorer "z"; there are ${scorers}`,
      ],
      warned(theDefault),
    ],
    [
      'a name is a number',
      'plugins: {Filter: {enabled: [least-request, 5]}, Score: {enabled: [{name: 5, weight: 1}, {name: kv-cache, weight: 1}]}}',
      [
        'plugins.Filter.enabled[1]: 5 is not a name of a plugin',
        'plugins.Score.enabled[0].name: 5 is not a name of a plugin',
      ],
      warned(onlyKvCache),
    ],
    [
      'a name is missing',
      'pluginConfig: [{args: {}}]\nplugins: {Score: {enabled: [{weight: 1}, {name: , weight: 1}, {name: kv-cache, weight: 1}]}}',
      [
        'pluginConfig[0].name: is missing',
        'plugins.Score.enabled[0].name: is missing',
        'plugins.Score.enabled[1].name: null is not a name of a plugin',
      ],
      warned(onlyKvCache),
    ],
    [
      'a filter is listed under Score',
      score('{name: lora-affinity, weight: 1}', '{name: kv-cache, weight: 1}'),
      [
        'plugins.Score.enabled[0].name: "lora-affinity" is a filter, not a scorer: list it under plugins.Filter',
      ],
      warned(onlyKvCache),
    ],
    [
      'a scorer is listed under Filter',
      'plugins: {Filter: {enabled: [gpu-usage]}}',
      ['plugins.Filter.enabled[0]: "gpu-usage" is a scorer, not a filter: list it under plugins.Score'],
      warned(theDefault.replace(/^\S+/, '')),
    ],
    [
      'an unknown plugin is configured',
      configured('least-latencies', '{TTFTTPOTWeightFactor: 7}'),
      ['pluginConfig[0].name: there is no plugin "least-latencies"; did you mean "least-latency"?'],
      warned(theDefault),
    ],
    [
      'a scorer is kvcache-aware, which Kthena would run',
      score('{name: kvcache-aware, weight: 1}', '{name: kv-cache, weight: 1}'),
      [
        'plugins.Score.enabled[0].name: there is no "kvcache-aware" here: it needs a side-car in each engine and Redis; "prefix-cache" comes nearest',
      ],
      same,
    ],
    [
      'kvcache-aware is named where Kthena would not run it',
      `${configured('kvcache-aware', '{blockSizeToHash: 16}')}\nplugins: {Filter: {enabled: [least-request, kvcache-aware]}, Score: {disabled: [{name: kvcache-aware, weight: 1}]}}`,
      ['pluginConfig[0].name', 'plugins.Filter.enabled[1]', 'plugins.Score.disabled[0].name'].map(
        (path) =>
          `${path}: there is no "kvcache-aware" here: it needs a side-car in each engine and Redis; "prefix-cache" comes nearest`,
      ),
      warned(theDefault),
    ],
    [
      'every plugin of Kthena is named by its name there',
      'plugins: {Filter: {enabled: [least-request, lora-affinity]}, Score: {enabled: [{name: least-request, weight: 1}, {name: gpu-usage, weight: 2}, {name: least-latency, weight: 3}, {name: prefix-cache, weight: 4}]}}',
      { runs: 'least-request lora-affinity | least-request:1 kv-cache:2 least-latency:3 prefix-cache:4' },
      same,
    ],
  ],
  'a weight is not as it should be': [
    [
      'a weight is missing, or nothing is written for it',
      score('{name: least-latency}', '{name: least-request, weight: }', '{name: kv-cache, weight: 1}'),
      [
        'plugins.Score.enabled[0].weight: is missing: write a number of 0 or more',
        'plugins.Score.enabled[1].weight: null is not a number of 0 or more',
      ],
      warned('least-request | least-latency:0 least-request:0 kv-cache:1'),
    ],
    [
      'a weight is 0',
      score('{name: least-latency, weight: 0}', '{name: kv-cache, weight: 1}'),
      { runs: 'least-request | least-latency:0 kv-cache:1' },
      same,
    ],
    [
      'every weight is 0',
      score('{name: least-latency, weight: 0}', '{name: kv-cache, weight: 0}'),
      [
        'plugins.Score.enabled: gives every scorer the weight 0, so none counts: give at least one of them more',
      ],
      warned('least-request | random:1'),
    ],
    [
      'the only weight is missing',
      score('{name: kv-cache}'),
      ['plugins.Score.enabled[0].weight: is missing: write a number of 0 or more'],
      {
        runs: 'least-request | random:1',
        warns: [
          'plugins.Score.enabled: gives every scorer the weight 0, so none counts: give at least one of them more',
          'plugins.Score.enabled[0].weight: is missing: write a number of 0 or more',
        ],
      },
    ],
    [
      'a weight is negative',
      score('{name: least-latency, weight: -1}', '{name: kv-cache, weight: 1}'),
      ['plugins.Score.enabled[0].weight: -1 is not a number of 0 or more'],
      warned('least-request | least-latency:0 kv-cache:1'),
    ],
    [
      'a weight is a fraction',
      score('{name: kv-cache, weight: 0.5}'),
      { runs: 'least-request | kv-cache:0.5' },
      same,
    ],
    [
      'a weight is text',
      score('{name: kv-cache, weight: much}'),
      ['plugins.Score.enabled[0].weight: "much" is not a number of 0 or more'],
      same,
    ],
    [
      'a weight is quoted',
      score('{name: kv-cache, weight: "1"}'),
      ['plugins.Score.enabled[0].weight: "1" is not a number of 0 or more: remove the quotes'],
      same,
    ],
    [
      'a weight is not finite',
      score('{name: kv-cache, weight: -.inf}'),
      ['plugins.Score.enabled[0].weight: -.inf is not a finite number of 0 or more'],
      same,
    ],
    [
      'a weight is a negative fraction',
      score('{name: kv-cache, weight: -0.5}'),
      ['plugins.Score.enabled[0].weight: -0.5 is not a number of 0 or more'],
      same,
    ],
  ],
  'random is used': [
    ['it is alone', score('{name: random, weight: 1}'), { runs: 'least-request | random:1' }, same],
    [
      'it is beside another',
      score('{name: kv-cache, weight: 1}', '{name: random, weight: 1}'),
      ['plugins.Score.enabled[1].name: "random" must be the only scorer'],
      warned(onlyKvCache),
    ],
    [
      'it is beside an unknown one',
      score('{name: kvcache, weight: 1}', '{name: random, weight: 1}'),
      [
        'plugins.Score.enabled[0].name: there is no scorer "kvcache"; did you mean "kv-cache"?',
        'plugins.Score.enabled[1].name: "random" must be the only scorer',
      ],
      noScorer,
    ],
    [
      'it is listed twice',
      score('{name: random, weight: 1}', '{name: random, weight: 2}'),
      ['plugins.Score.enabled[1]: "random" is listed twice'],
      warned('least-request | random:2'),
    ],
  ],
};

describe.each(Object.entries(situations))('scheduler section, where %s', (_, rows) => {
  it.each(rows)('%s', (_situation, text, strict, lenient) => {
    expect(outcomeOf(text, false)).toEqual(strict);
    const expected = lenient ?? strict;
    const isWarned = expected !== strict && 'runs' in expected;
    expect(outcomeOf(text, true)).toEqual(isWarned ? { warns: strict, ...expected } : expected);
  });
});

/** The parameters that a configured plugin gets, or the faults. */
function paramsOf(text: string, lenient: boolean): unknown {
  try {
    const { config, warnings } = parseConfig(text, 'f', { lenient });
    const { filters, scorers } = config.scheduler.profile;
    const type = /name: ([\w-]+)/.exec(text)?.[1];
    const params = [...filters, ...scorers]
      .filter((plugin) => plugin.type === type)
      .map((plugin) => plugin.params);
    return { params: params[0], warns: warnings.map(withoutConsequence) };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map(({ path, message }) => `${path}: ${message}`);
  }
}

const leastRequest = { maxWaitingRequests: 10, loadScale: 10 };
const leastLatency = { TTFTTPOTWeightFactor: 0.5, minSpread: 0.2 };
const prefixCache = {
  blockSizeToHash: 64,
  maxBlocksToMatch: 128,
  maxHashCacheSize: 50_000,
  topKMatches: 5,
  minMatchBytes: 0,
  maxTotalEntries: 2_000_000,
};
const argument = (parameter: string, fault: string) => `pluginConfig[0].args.${parameter}: ${fault}`;
const bare = (name: string, ...args: readonly string[]) => configured(name, `{${args.join(', ')}}`);

/** The situation, a configuration, the faults, and the parameters with `--lenient`; without any it is refused the same. */
const argumentRows: [string, string, unknown[], object | undefined][] = [
  [
    'an argument is unknown',
    bare('least-request', 'queue: 1', 'loadScale: 3'),
    [argument('queue', '"least-request" has no parameter "queue"; there are maxWaitingRequests, loadScale')],
    { ...leastRequest, loadScale: 3 },
  ],
  [
    'an argument of a plugin without any is unknown',
    bare('kv-cache', 'a: 1'),
    [argument('a', '"kv-cache" has no parameter "a"; it has none')],
    {},
  ],
  [
    'maxWaitingRequests is 0, for which Kthena takes 10',
    bare('least-request', 'maxWaitingRequests: 0', 'loadScale: 3'),
    [argument('maxWaitingRequests', '0 is not a whole number of 1 or more')],
    { ...leastRequest, loadScale: 3 },
  ],
  [
    'maxWaitingRequests has nothing written for it',
    bare('least-request', 'maxWaitingRequests:'),
    [argument('maxWaitingRequests', 'null is not a whole number of 1 or more')],
    leastRequest,
  ],
  [
    'maxWaitingRequests is negative, with which Kthena filters everybody out',
    bare('least-request', 'maxWaitingRequests: -1'),
    [argument('maxWaitingRequests', '-1 is not a whole number of 1 or more')],
    undefined,
  ],
  ...(['"10"', '1.5', 'ten', 'true', '[10]', '.inf', '1e300'] as const).map(
    (value): [string, string, unknown[], object] => [
      `maxWaitingRequests is ${value}, which Kthena cannot read`,
      bare('least-request', `maxWaitingRequests: ${value}`, 'loadScale: 3'),
      [expect.stringMatching(/^pluginConfig\[0].args.maxWaitingRequests: .* of 1 or more/)],
      leastRequest,
    ],
  ),
  [
    "a parameter of Sluice's own is wrong, which Kthena does not have",
    bare('least-request', 'loadScale: much'),
    [argument('loadScale', '"much" is not a number of 0 or more')],
    undefined,
  ],
  [
    'an argument of prefix-cache is 0 or less',
    bare(
      'prefix-cache',
      'blockSizeToHash: 0',
      'maxBlocksToMatch: -1',
      'maxHashCacheSize: 9',
      'topKMatches: -5',
    ),
    [
      argument('blockSizeToHash', '0 is not a whole number from 1 to 65536'),
      argument('maxBlocksToMatch', '-1 is not a whole number from 1 to 4096'),
      argument('topKMatches', '-5 is not a whole number of 1 or more'),
    ],
    { ...prefixCache, maxHashCacheSize: 9 },
  ],
  [
    'an argument of prefix-cache cannot be read',
    bare('prefix-cache', 'blockSizeToHash: 32', 'topKMatches: "5"', 'maxBlocksToMatch: 0'),
    [
      argument('topKMatches', '"5" is not a whole number of 1 or more: remove the quotes'),
      argument('maxBlocksToMatch', '0 is not a whole number from 1 to 4096'),
    ],
    prefixCache,
  ],
  [
    'an argument of prefix-cache is greater than here',
    bare('prefix-cache', 'maxBlocksToMatch: 5000'),
    [argument('maxBlocksToMatch', '5000 is not a whole number from 1 to 4096')],
    undefined,
  ],
  ...(['1.5', '-0.1', '.nan', '.inf', '"0.5"', 'half', '[]'] as const).map(
    (value): [string, string, unknown[], undefined] => [
      `TTFTTPOTWeightFactor is ${value}, even where least-latency does not run`,
      `${bare('least-latency', `TTFTTPOTWeightFactor: ${value}`)}\nplugins: {Score: {disabled: [least-latency]}}`,
      [expect.stringMatching(/TTFTTPOTWeightFactor: .* is not a (finite )?number from 0 to 1/)],
      undefined,
    ],
  ),
  [
    'an argument of least-latency is unknown',
    bare('least-latency', 'factor: 1'),
    [
      argument(
        'factor',
        '"least-latency" has no parameter "factor"; there are TTFTTPOTWeightFactor, minSpread',
      ),
    ],
    leastLatency,
  ],
  [
    'the args of least-latency are no mapping',
    configured('least-latency', 'x'),
    ['pluginConfig[0].args: "x" is not a mapping'],
    undefined,
  ],
  [
    'the args of another are no mapping',
    configured('prefix-cache', '[64]'),
    ['pluginConfig[0].args: [64] is not a mapping'],
    prefixCache,
  ],
  [
    'an argument is given in two spellings',
    bare('least-request', 'maxWaitingRequests: 1', 'maxwaitingrequests: 2'),
    [argument('maxwaitingrequests', 'the parameter "maxWaitingRequests" is given twice')],
    undefined,
  ],
  [
    'a plugin is configured three times',
    'pluginConfig: [{name: least-request, args: {maxWaitingRequests: 1}}, {name: least-request, args: {loadScale: 2}}, {name: kv-cache}, {name: least-request, args: {maxWaitingRequests: 3}}]',
    [1, 3].map((i) => `pluginConfig[${i}].name: "least-request" is configured twice`),
    { maxWaitingRequests: 3, loadScale: 10 },
  ],
];

describe('scheduler section, where', () => {
  it.each(argumentRows)('%s', (_, text, faults, lenient) => {
    const strict = paramsOf(text, false);
    expect(strict).toEqual(faults);
    expect(paramsOf(text, true)).toEqual(lenient === undefined ? faults : { params: lenient, warns: strict });
  });

  it.each(['MAXWAITINGREQUESTS', 'maxwaitingrequests'])('an argument is spelled %s', (key) => {
    const params = { ...leastRequest, maxWaitingRequests: 4 };
    expect(paramsOf(bare('least-request', `${key}: 4`), false)).toEqual({ params, warns: [] });
  });

  it('there is no file to read', () => {
    for (const lenient of [false, true])
      expect(() => loadConfig('/nowhere/routerConfiguration.yaml', { lenient })).toThrow(
        'Cannot read configuration',
      );
  });

  it('there is no file', () => {
    expect(loadConfig(undefined).config.scheduler.profile).toEqual(profileOf(''));
  });
});
