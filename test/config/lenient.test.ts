import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { z } from 'zod';
import { repaired, repairOf, withRepairs, type Repair } from '../../src/config/lenient.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Written } from '../../src/config/written.ts';

function repairsOf(schema: z.ZodType, value: unknown): (readonly Repair[] | undefined)[] {
  return (schema.safeParse(value).error?.issues ?? []).map(repairOf);
}

describe('repairOf()', () => {
  it('removes fields that nobody knows, wherever they are', () => {
    const schema = z.strictObject({ limits: z.array(z.strictObject({})) });
    expect(repairsOf(schema, { limits: [{}, { a: 1, b: 2 }], log: {} })).toEqual([
      [{ path: ['limits', 1, 'a'] }, { path: ['limits', 1, 'b'] }],
      [{ path: ['log'] }],
    ]);
  });

  it('never removes the wish that tokens are checked', () => {
    expect(repairsOf(z.strictObject({}), { auth: { issuer: 'i' }, log: {} })).toEqual([undefined]);
  });

  it.each<[string, unknown]>([
    ['a section that is none', { log: 'debug' }],
    ['a wrong value in another section', { admin: { port: 'x' } }],
    ['a value out of range in another section', { usage: { sampleRate: -1 } }],
    ['fields that contradict each other', { scrape: { interval: '5s', staleAfter: '1s' } }],
    ["a wrong value of Sluice's own field", { scheduler: { maxEndpoints: 0 } }],
  ])('has none for %s', (_, written) => {
    const found = repairsOf(configSchema, written);
    expect(found.length).toBeGreaterThan(0);
    expect(found.every((repair) => repair === undefined)).toBe(true);
  });
});

describe('withRepairs()', () => {
  const positive = withRepairs(z.number().min(1), (input) =>
    input === 0 ? [{ up: 0, value: 1 }] : undefined,
  );
  const listed = withRepairs(z.strictObject({ name: z.string() }), () => [{ up: 0 }]);

  it('lets issues carry what is to be done, from where they are', () => {
    expect(repairsOf(z.strictObject({ a: z.array(positive) }), { a: [5, 0] })).toEqual([
      [{ path: ['a', 1], value: 1 }],
    ]);
    const above = withRepairs(z.string(), () => [{ up: 2, path: [0, 'x'], value: 'y' }]);
    expect(repairsOf(z.array(z.strictObject({ name: above })), [{ name: 'a' }, {}])).toEqual([
      [{ path: [0, 'x'], value: 'y' }],
    ]);
  });

  it('tells values apart that the schema refuses', () => {
    expect(repairsOf(positive, 0)).toEqual([[{ path: [], value: 1 }]]);
    expect(repairsOf(positive, -1)).toEqual([undefined]);
    expect(repairsOf(positive, '0')).toEqual([undefined]);
  });

  it('leaves issues of parts to the parts', () => {
    expect(repairsOf(z.array(listed), [{ name: 1 }, 'a'])).toEqual([undefined, [{ path: [1] }]]);
  });

  it('accepts what the schema accepts', () => {
    expect(positive.parse(3)).toBe(3);
  });
});

describe('repaired()', () => {
  const written = { a: { list: ['x', { n: 1 }, { n: 2 }, 'y'], b: 1 }, c: null };
  const cases: [string, Repair[], Written][] = [
    ['sets a value', [{ path: ['a', 'b'], value: 2 }], { ...written, a: { ...written.a, b: 2 } }],
    [
      'sets a value to nothing',
      [{ path: ['a', 'b'], value: undefined }],
      { ...written, a: { ...written.a, b: undefined } },
    ],
    ['adds a field', [{ path: ['a', 'd'], value: [1] }], { ...written, a: { ...written.a, d: [1] } }],
    ['removes a field', [{ path: ['c'] }], { a: written.a }],
    [
      'removes items by their positions before',
      [{ path: ['a', 'list', 0] }, { path: ['a', 'list', 2] }, { path: ['a', 'list', 1, 'n'], value: 9 }],
      { ...written, a: { list: [{ n: 9 }, 'y'], b: 1 } },
    ],
    [
      'sets and removes items of one list',
      [{ path: ['a', 'list', 1] }, { path: ['c'] }, { path: ['a', 'list', 3], value: ['z'] }],
      { a: { list: ['x', { n: 2 }, ['z']], b: 1 } },
    ],
    [
      'removes an item once, whoever asks for it',
      [{ path: ['a', 'list', 0] }, { path: ['a', 'list', 0] }],
      { ...written, a: { ...written.a, list: written.a.list.slice(1) } },
    ],
    [
      'removes what was changed within',
      [{ path: ['a', 'list'] }, { path: ['a', 'list', 2, 'n'] }],
      { ...written, a: { b: 1 } },
    ],
    [
      'passes over what is not there',
      [{ path: ['a', 'list', 9] }, { path: ['c', 'x'] }, { path: ['d'] }],
      written,
    ],
    ['does nothing for no repairs', [], written],
  ];
  it.each(cases)('%s', (_, repairs, expected) => {
    const before = structuredClone(written);
    expect(repaired(written, repairs)).toEqual(expected);
    expect(written).toEqual(before);
  });

  it('changes one place of what an alias put into two', () => {
    const shared = { n: 1 };
    expect(repaired({ a: shared, b: shared }, [{ path: ['a', 'n'], value: 2 }])).toEqual({
      a: { n: 2 },
      b: { n: 1 },
    });
  });

  it('keeps the order of fields, and fields of any name', () => {
    const odd: Written = Object.fromEntries<unknown>([
      ['z', 1],
      ['__proto__', { x: 1 }],
      ['a', 2],
    ]);
    const after = repaired(odd, [
      { path: ['z'], value: 3 },
      { path: ['__proto__', 'x'], value: 4 },
    ]);
    expect(JSON.stringify(after)).toBe('{"z":3,"__proto__":{"x":4},"a":2}');
    expect(repaired(odd, [{ path: ['__proto__'] }])).toEqual({ z: 1, a: 2 });
  });

  it('comes to an end with any scheduler section: each round mends what it names', () => {
    const name = fc.constantFrom(
      'random',
      'kv-cache',
      'gpu-usage',
      'least-request',
      'lora-affinity',
      'x',
      5,
      null,
    );
    const weight = fc.constantFrom(0, 1, -1, null, '1');
    const filters = fc.option(fc.array(name, { maxLength: 4 }));
    const scorers = fc.option(fc.array(fc.record({ name, weight }, { requiredKeys: [] }), { maxLength: 4 }));
    const args = fc.record(
      {
        maxWaitingRequests: fc.constantFrom(0, -1, 1.5, 3),
        topKMatches: fc.constantFrom(0, -1, '1', 3),
        TTFTTPOTWeightFactor: fc.constantFrom(1, 2),
        y: fc.constant(1),
      },
      { requiredKeys: [] },
    );
    const lists = <T>(list: fc.Arbitrary<T>) =>
      fc.record({ enabled: list, disabled: list }, { requiredKeys: [] });
    const scheduler = fc.record(
      {
        plugins: fc.record(
          { Filter: lists(filters), Score: lists(scorers), filter: filters },
          { requiredKeys: [] },
        ),
        pluginConfig: fc.array(fc.record({ name, args }, { requiredKeys: [] }), { maxLength: 4 }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(scheduler, (section) => {
        let written: Written = { scheduler: section };
        for (let round = 0; ; round++) {
          expect(round).toBeLessThan(5);
          const repairs = repairsOf(configSchema, written).flatMap((repair) => repair ?? []);
          if (repairs.length === 0) return;
          written = repaired(written, repairs);
        }
      }),
      { numRuns: 500 },
    );
  });
});
