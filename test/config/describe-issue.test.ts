import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { describeIssue, didYouMean, notInRange, shown } from '../../src/config/describe-issue.ts';

function sentences(schema: z.ZodType, value: unknown): string[] {
  return (schema.safeParse(value).error?.issues ?? []).map((issue) => describeIssue(issue, value));
}

const kinds = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('file'), path: z.string() }),
  z.strictObject({ kind: z.literal('memory') }),
]);
const nameOrEntry = z.union([z.string(), z.strictObject({ name: z.string(), weight: z.number() })]);

const cases: [string, z.ZodType, unknown, string[]][] = [
  ['a missing value', z.object({ a: z.string() }), {}, ['is missing']],
  ['a value of another type', z.object({ a: z.string() }), { a: 1 }, ['1 is not a string']],
  [
    'a value behind a path',
    z.object({ a: z.array(z.boolean()) }),
    { a: [true, 'on'] },
    ['"on" is not true or false'],
  ],
  ['a list that is none', z.array(z.string()), 'a', ['"a" is not a list']],
  ['a mapping that is none', z.strictObject({}), [], ['[] is not a mapping']],
  ['null', z.record(z.string(), z.string()), null, ['null is not a mapping']],
  ['a fraction', z.int(), 1.5, ['1.5 is not a whole number']],
  ['no number', z.number(), Number.NaN, ['.nan is not a number']],
  ['an infinite number', z.number(), -Infinity, ['-.inf is not a finite number']],
  ['an infinite whole number', z.int(), Infinity, ['.inf is not a finite number']],
  ['a number that is too small', z.number().min(1), 0, ['0 is too small: the least is 1']],
  ['a number that is too great', z.number().max(1), 2, ['2 is too great: the greatest is 1']],
  [
    'a number on a bound that is not included',
    z.number().gt(0),
    0,
    ['0 is too small: it must be more than 0'],
  ],
  ['the same above', z.number().lt(9), 9, ['9 is too great: it must be less than 9']],
  ['a number between steps', z.number().multipleOf(5), 12, ['12 is not a multiple of 5']],
  ['an empty string', z.string().min(1), '', ['must not be empty']],
  ['a short string', z.string().min(3), 'ab', ['"ab" is too short: the least is 3 characters']],
  ['a long string', z.string().max(3), 'abcd', ['"abcd" is too long: the greatest is 3 characters']],
  ['an empty list', z.array(z.string()).min(1), [], ['must not be empty']],
  ['a short list', z.array(z.string()).min(2), ['a'], ['["a"] has too few items: the least is 2']],
  [
    'a long list',
    z.array(z.string()).max(1),
    ['a', 'b'],
    ['["a","b"] has too many items: the greatest is 1'],
  ],
  [
    'an unknown word',
    z.enum(['auto', 'none']),
    'atuo',
    ['"atuo" is not one of "auto", "none"; did you mean "auto"?'],
  ],
  ['a missing word', z.object({ a: z.enum(['x', 'y']) }), {}, ['is missing: it is one of "x", "y"']],
  ['text that does not match', z.string().regex(/^a+$/), 'b', ['"b" does not match /^a+$/']],
  ['text of a format', z.url(), 'b', ['"b" is not a valid url']],
  ['unknown fields', z.strictObject({}), { a: 1, b: 2 }, ['there is no field "a", "b" here']],
  [
    'a key that is not valid',
    z.record(z.string().min(1), z.string()),
    { '': 'a' },
    ['the key "" is not valid: must not be empty'],
  ],
  [
    'keys of which only some are allowed',
    z.partialRecord(z.enum(['read', 'write']), z.boolean()),
    { raed: true },
    ['there is no field "raed" here'],
  ],
  ['a value in a record', z.record(z.string(), z.number()), { a: 'x' }, ['"x" is not a number']],
  [
    'a value of none of several types',
    z.union([z.string(), z.array(z.string())]),
    5,
    ['5 is not a string or a list'],
  ],
  [
    'a value that is no type and no word',
    z.union([z.literal('auto'), z.number()]),
    'aut',
    ['"aut" is not "auto" or a number'],
  ],
  [
    'a missing value of several types',
    z.object({ a: z.union([z.string(), z.number()]) }),
    {},
    ['is missing'],
  ],
  [
    'an item of one of several forms',
    z.union([z.string(), z.array(z.string())]),
    ['a', 1],
    ['1: 1 is not a string'],
  ],
  [
    'fields of one of several forms',
    nameOrEntry,
    { weight: 'x' },
    ['name: is missing; weight: "x" is not a number'],
  ],
  [
    'a kind that there is not',
    kinds,
    { kind: 'flie' },
    ['"flie" is not one of "file", "memory"; did you mean "file"?'],
  ],
  ['a missing kind', kinds, {}, ['is missing: it is one of "file", "memory"']],
  ['a fault within a kind', kinds, { kind: 'file' }, ['is missing']],
  [
    'a value of two forms',
    z.xor([z.string(), z.literal('a')]),
    'a',
    ['"a" can be read in more than one way'],
  ],
];

describe('describeIssue()', () => {
  it.each(cases)('describes %s', (_, schema, value, expected) => {
    expect(sentences(schema, value)).toEqual(expected);
  });

  it.each<[string, z.ZodType, unknown]>([
    ['a type', z.string({ error: 'own words' }), 1],
    ['a bound', z.number().min(1, 'own words'), 0],
    ['a word', z.enum(['a'], 'own words'), 'b'],
    ['a union', z.union([z.string(), z.number()], 'own words'), true],
    ['a refinement', z.string().refine(() => false, 'own words'), 'a'],
  ])('prefers the own words of a schema for %s', (_, schema, value) => {
    expect(sentences(schema, value)).toEqual(['own words']);
  });
});

describe('shown()', () => {
  it.each<[unknown, string]>([
    ['a"b', '"a\\"b"'],
    [1.5, '1.5'],
    [{ a: [null] }, '{"a":[null]}'],
    [undefined, 'nothing'],
    [Number.NaN, '.nan'],
    [Infinity, '.inf'],
    [-Infinity, '-.inf'],
    ['x'.repeat(100), `"${'x'.repeat(79)}…`],
  ])('writes %p', (value, text) => {
    expect(shown(value)).toBe(text);
  });
});

describe('didYouMean()', () => {
  it('names the nearest word, if one is near and the value is text', () => {
    expect(didYouMean('Scroe', ['Filter', 'Score', 3])).toBe('; did you mean "Score"?');
    expect(didYouMean('x', ['Filter', 'Score'])).toBe('');
    expect(didYouMean(3, ['3'])).toBe('');
  });
});

describe('notInRange()', () => {
  it.each<[unknown, Parameters<typeof notInRange>[1], string]>([
    [0, { whole: true, least: 1, greatest: 9 }, '0 is not a whole number from 1 to 9'],
    ['x', { least: 0 }, '"x" is not a number of 0 or more'],
    [2, { greatest: 1 }, '2 is not a number of 1 or less'],
    [null, {}, 'null is not a number'],
    ['-1.5', {}, '"-1.5" is not a number: remove the quotes'],
    [Infinity, { least: 0 }, '.inf is not a finite number of 0 or more'],
  ])('says of %p in %p what is allowed', (value, range, sentence) => {
    expect(notInRange(value, range)).toBe(sentence);
  });
});
