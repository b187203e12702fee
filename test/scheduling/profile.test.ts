import { beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import type { Endpoint } from '../../src/endpoints/endpoint.ts';
import { DecisionTrace } from '../../src/scheduling/decision-trace.ts';
import type {
  Filter,
  FilterDefinition,
  PickerDefinition,
  PluginDefinition,
  Scorer,
  ScorerDefinition,
} from '../../src/scheduling/plugin.ts';
import { pluginDefinitions } from '../../src/scheduling/plugins/index.ts';
import { createProfile } from '../../src/scheduling/profile.ts';
import type { Profile, ProfileConfig } from '../../src/scheduling/profile.ts';
import { createRegistry } from '../../src/scheduling/registry.ts';
import { anEndpoint, anOutcome, aRequest, someMetrics } from '../support/endpoints.ts';
import { fakeDeps } from '../support/scoring.ts';

const params = z.strictObject({});

/** A profile of hand-made plugins beside the real picker, each named after its position: f0, f1, s0, s1. */
function profileOf(filters: Filter[], scorers: [number, Scorer][]): Profile {
  const definitions: PluginDefinition[] = [
    ...pluginDefinitions,
    ...filters.map((filter, i): PluginDefinition => {
      const whenEmpty = i === 0 ? 'ineligible' : 'saturated';
      return { kind: 'filter', type: `f${i}`, description: '', params, whenEmpty, create: () => filter };
    }),
    ...scorers.map(([, scorer], i): PluginDefinition => {
      return { kind: 'scorer', type: `s${i}`, description: '', params, create: () => scorer };
    }),
  ];
  const config: ProfileConfig = {
    filters: filters.map((_, i) => ({ type: `f${i}`, params: {} })),
    scorers: scorers.map(([weight], i) => ({ type: `s${i}`, params: {}, weight })),
    picker: { type: 'max-score', params: {} },
  };
  return createProfile(config, fakeDeps, undefined, createRegistry(definitions));
}

const bySlot = (verdicts: readonly boolean[]): Filter => ({ keep: (_, { slot }) => verdicts[slot] ?? false });

function scoring(...values: number[]): Scorer {
  return {
    score: (_, candidates, scores) => candidates.forEach(({ slot }, i) => (scores[i] = values[slot] ?? 0)),
  };
}

const [a, b, c] = [anEndpoint(0), anEndpoint(1), anEndpoint(2)];
const request = aRequest('hello', { id: 'r7', model: 'm' });

describe('createProfile()', () => {
  it('run() sums weighted scores and ranks by the sum', () => {
    const profile = profileOf(
      [],
      [
        [1, scoring(0.5, 1, 0)],
        [3, scoring(0.5, 0, 0.5)],
      ],
    );
    expect(profile.run(request, [a, b, c], 2)).toEqual({
      kind: 'chosen',
      requestId: 'r7',
      model: 'm',
      ranked: [a, c],
      totals: [2, 1.5],
      candidates: 3,
      kept: 3,
    });
  });

  it('run() clamps scores and takes what is not a number for 0', () => {
    const profile = profileOf([], [[1, scoring(Number.NaN, 7, -3)]]);
    const trace = new DecisionTrace();
    profile.run(request, [a, b, c], 3, trace);
    expect([...trace.scores.subarray(0, 3)]).toEqual([0, 1, 0]);
    expect([...trace.totals.subarray(0, 3)]).toEqual([0, 1, 0]);
  });

  it('run() counts a scorer of weight 0 for nothing', () => {
    const profile = profileOf(
      [],
      [
        [0, scoring(1, 0, 0)],
        [1, scoring(0, 0.1, 0)],
      ],
    );
    expect(profile.run(request, [a, b, c], 1)).toMatchObject({ ranked: [b], totals: [0.1] });
  });

  it('run() hides from a scorer what the run before wrote', () => {
    const seen: number[][] = [];
    const lazy: Scorer = {
      score: (_, candidates, scores) => void seen.push([...scores.subarray(0, candidates.length)]),
    };
    const profile = profileOf(
      [],
      [
        [1, scoring(1, 1, 1)],
        [1, lazy],
      ],
    );
    profile.run(request, [a, b], 1);
    profile.run(request, [a, b, c], 1);
    expect(seen).toEqual([
      [0, 0],
      [0, 0, 0],
    ]);
  });

  it('run() names the filter that left nobody', () => {
    const profile = profileOf([bySlot([true, false]), bySlot([false, true])], [[1, scoring()]]);
    expect(profile.run(request, [a, b], 3)).toEqual({
      kind: 'none',
      filter: 'f1',
      whenEmpty: 'saturated',
      candidates: 2,
    });
    expect(profile.run(request, [b], 3)).toEqual({
      kind: 'none',
      filter: 'f0',
      whenEmpty: 'ineligible',
      candidates: 1,
    });
  });

  it('run() says that nobody can where there is nobody', () => {
    for (const filters of [[], [bySlot([])]]) {
      expect(profileOf(filters, [[1, scoring()]]).run(request, [], 3)).toMatchObject({
        kind: 'none',
        whenEmpty: 'ineligible',
        candidates: 0,
      });
    }
  });

  it('run() agrees with a plain account of filters and scores', () => {
    const endpoints = Array.from({ length: 12 }, (_, slot) => anEndpoint(slot));
    const verdicts = fc.array(fc.boolean(), { minLength: 12, maxLength: 12 });
    const values = fc.array(
      fc.integer({ min: 0, max: 4 }).map((n) => n / 4),
      { minLength: 12, maxLength: 12 },
    );
    fc.assert(
      fc.property(
        fc.array(verdicts, { maxLength: 3 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 3 }), values), { minLength: 1, maxLength: 3 }),
        fc.integer({ min: 1, max: 12 }),
        (filters, scorers, candidateCount) => {
          const profile = profileOf(
            filters.map(bySlot),
            scorers.map(([weight, scores]): [number, Scorer] => [weight, scoring(...scores)]),
          );
          const candidates = endpoints.slice(0, candidateCount);
          const trace = new DecisionTrace();
          const result = profile.run(request, candidates, 3, trace);

          const kept = candidates.filter(({ slot }) => filters.every((verdict) => verdict[slot]));
          const total = ({ slot }: Endpoint) =>
            scorers.reduce((sum, [weight, scores]) => sum + weight * scores[slot]!, 0);
          const removedBy = candidates.map(({ slot }) => filters.findIndex((verdict) => !verdict[slot]) + 1);
          expect([...trace.removedBy.subarray(0, candidateCount)]).toEqual(removedBy);
          if (result.kind === 'none') {
            expect(kept).toEqual([]);
            return;
          }
          expect(result.kept).toBe(kept.length);
          expect(result.totals).toEqual(
            kept
              .map(total)
              .toSorted((x, y) => y - x)
              .slice(0, 3),
          );
          expect(result.ranked.map(total)).toEqual(result.totals);
          expect(result.ranked.every((endpoint) => kept.includes(endpoint))).toBe(true);
        },
      ),
    );
  });

  it('promptHeadBytes is the most that a scorer reads', () => {
    const reading = (promptHeadBytes: number): Scorer => ({ ...scoring(), promptHeadBytes });
    expect(
      profileOf(
        [],
        [
          [1, reading(10)],
          [1, reading(300)],
          [1, scoring()],
        ],
      ).promptHeadBytes,
    ).toBe(300);
    expect(profileOf([], [[1, scoring()]]).promptHeadBytes).toBe(0);
  });

  it('hooks reach the filters and scorers that have them', () => {
    const heard: string[] = [];
    const outcome = anOutcome(b);
    const filter: Filter = {
      keep: () => true,
      onSettled: (_, { slot }, { servedBy }) => heard.push(`settled ${slot} ${servedBy?.slot}`),
    };
    const scorer: Scorer = {
      ...scoring(),
      onRouted: ({ id }, { slot }) => heard.push(`routed ${id} ${slot}`),
      onEndpointLost: ({ slot }) => heard.push(`lost ${slot}`),
    };
    const profile = profileOf(
      [filter],
      [
        [1, scorer],
        [1, scoring()],
      ],
    );
    profile.run(request, [a], 1);
    expect(heard).toEqual([]);
    profile.onRouted(request, a);
    profile.onSettled(request, a, outcome);
    profile.onEndpointLost(c);
    expect(heard).toEqual(['routed r7 0', 'settled 0 1', 'lost 2']);
  });

  it('refuses a plugin that does not exist or is of another kind', () => {
    const none = { filters: [], scorers: [], picker: { type: 'max-score', params: {} } };
    const config = { ...none, filters: [{ type: 'kv-cache', params: {} }] };
    expect(() => createProfile(config, fakeDeps)).toThrow(
      'Cannot create the profile: there is no filter "kv-cache"',
    );
  });

  describe('with a predecessor', () => {
    const valued = z.strictObject({
      value: z.number().default(1),
      list: z.array(z.number()).default([1, 2]),
    });

    /** What each `create` was given: the name, the value, and the value of the one before. */
    let made: [string, number, number | undefined][];
    const valueOf = new WeakMap<object, number>();

    function note<Instance extends object>(
      name: string,
      value: number,
      previous: Instance | undefined,
      instance: Instance,
    ): Instance {
      made.push([name, value, previous && valueOf.get(previous)]);
      valueOf.set(instance, value);
      return instance;
    }

    const filterDefinition: FilterDefinition<z.infer<typeof valued>> = {
      kind: 'filter',
      type: 'same-name',
      description: '',
      params: valued,
      whenEmpty: 'ineligible',
      create: ({ value }, _deps, previous) => note('filter', value, previous, { keep: () => true }),
    };
    const scorerDefinition: ScorerDefinition<z.infer<typeof valued>> = {
      kind: 'scorer',
      type: 'same-name',
      aliases: ['alias'],
      description: '',
      params: valued,
      create: ({ value }, _deps, previous) => note('scorer', value, previous, scoring(value)),
    };
    const pickerDefinition: PickerDefinition<z.infer<typeof valued>> = {
      kind: 'picker',
      type: 'same-name',
      description: '',
      params: valued,
      create: ({ value }, _deps, previous) =>
        note('picker', value, previous, { rank: (candidates) => [...candidates] }),
    };
    const registry = createRegistry([filterDefinition, scorerDefinition, pickerDefinition]);

    const plugin = (params: Record<string, unknown> = {}, type = 'same-name') => ({
      type,
      params,
      weight: 1,
    });
    const create = (config: ProfileConfig, previous?: Profile) =>
      createProfile(config, fakeDeps, previous, registry);
    const instances = ({ plugins }: Profile) =>
      [...plugins.filters, ...plugins.scorers, ...plugins.pickers].map(({ instance }) => instance);

    beforeEach(() => {
      made = [];
    });

    it('uses plugins of equal parameters as they are, whatever their weight and however they are written', () => {
      const old = create({ filters: [plugin()], scorers: [plugin()], picker: plugin() });
      made = [];
      const scorers = [{ ...plugin({ list: [1, 2], value: 1 }, 'alias'), weight: 5 }];
      const profile = create({ filters: [plugin()], scorers, picker: plugin({ value: 1 }) }, old);
      expect(made).toEqual([]);
      expect(instances(profile)).toEqual(instances(old));
      expect(instances(profile).every((instance, i) => instance === instances(old)[i])).toBe(true);
      expect(profile.names.scorers).toEqual([{ name: 'same-name', weight: 5 }]);
      expect(profile.run(request, [a], 1)).toMatchObject({ totals: [5] });
    });

    it('gives a plugin of other parameters the one of its kind and name', () => {
      const old = create({
        filters: [plugin({ value: 2 })],
        scorers: [plugin({ value: 3 })],
        picker: plugin({ value: 4 }),
      });
      made = [];
      const next = plugin({ value: 5, list: [] });
      const profile = create({ filters: [next], scorers: [next], picker: next }, old);
      expect(made).toEqual([
        ['filter', 5, 2],
        ['scorer', 5, 3],
        ['picker', 5, 4],
      ]);
      expect(instances(profile).some((instance) => instances(old).includes(instance))).toBe(false);
    });

    it('gives nothing to a plugin that was not there before', () => {
      const old = create({ filters: [], scorers: [plugin()], picker: plugin() });
      made = [];
      const grown = create({ filters: [plugin({ value: 2 })], scorers: [], picker: plugin() }, old);
      create({ filters: [], scorers: [plugin({ value: 3 })], picker: plugin() }, grown);
      expect(made).toEqual([
        ['filter', 2, undefined],
        ['scorer', 3, undefined],
      ]);
    });

    it('gives one plugin to one successor only', () => {
      const old = create({ filters: [], scorers: [plugin()], picker: plugin() });
      made = [];
      const twice = create({ filters: [], scorers: [plugin(), plugin()], picker: plugin() }, old);
      expect(made).toEqual([['scorer', 1, undefined]]);
      expect(new Set(instances(twice)).size).toBe(3);
    });

    it('makes nothing where something is refused', () => {
      const old = create({ filters: [plugin()], scorers: [], picker: plugin() });
      made = [];
      const filters = [plugin({ value: 2 })];
      const mistakes: ProfileConfig[] = [
        { filters, scorers: [plugin({ value: 'no' })], picker: plugin() },
        { filters, scorers: [], picker: plugin({ volume: 11 }) },
        { filters, scorers: [], picker: plugin({}, 'nobody') },
      ];
      for (const mistake of mistakes) expect(() => create(mistake, old)).toThrow();
      expect(made).toEqual([]);
    });
  });

  it('gives a cached prompt more weight than one request of difference', () => {
    const config: ProfileConfig = {
      filters: [{ type: 'least-request', params: {} }],
      scorers: ['least-request', 'gpu-usage', 'least-latency', 'prefix-cache'].map((type) => ({
        type,
        params: {},
        weight: 1,
      })),
      picker: { type: 'max-score', params: {} },
    };
    const profile = createProfile(config, fakeDeps);
    const idle = { running: 0, waiting: 0, kvCacheUsage: 0.2 };
    const warm = anEndpoint(0, { inFlight: 1, metrics: someMetrics(idle) });
    const cold = anEndpoint(1, { metrics: someMetrics(idle) });
    const conversation = aRequest('x'.repeat(1000));
    profile.onRouted(conversation, warm);
    expect(profile.run(conversation, [cold, warm], 2)).toMatchObject({
      ranked: [warm, cold],
      totals: [3.2, 2.3],
    });
  });
});
