/** A minute of mutated configurations: none may crash the loader, and none may be taken for more than it says. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ConfigError, type ConfigFault } from '../../src/config/config-error.ts';
import { parseConfig } from '../../src/config/load.ts';
import { configSchema } from '../../src/config/schema.ts';
import { createDice } from './fuzz/dice.ts';
import { structureEdits } from './fuzz/edit-structure.ts';
import { textEdits, type Edit } from './fuzz/edit-text.ts';
import { wordEdits } from './fuzz/edit-words.ts';
import { manuals, ours } from './fuzz/examples.ts';
import { file, judge } from './fuzz/judge.ts';
import { nonsenseIn, nonsenseInEffect } from './fuzz/nonsense.ts';
import { mistakesIn } from './fuzz/refusal.ts';

/** Up to three edits, each by its number, with a seed for its dice. */
function mutations(edits: readonly Edit[]) {
  const one = fc.tuple(fc.noBias(fc.nat(edits.length - 1)), fc.noBias(fc.nat()));
  const base = fc.oneof(fc.constantFrom(...manuals), fc.constantFrom(...ours));
  return fc
    .tuple(base, fc.array(one, { minLength: 1, maxLength: 3 }))
    .map(([text, chosen]) =>
      chosen.reduce((before, [edit, seed]) => edits[edit]!(before, createDice(seed)), text),
    );
}

describe('parseConfig()', () => {
  it('takes every example that it should, and what they say is what it does', () => {
    const verdicts = [...manuals, ...ours].map(judge);
    expect(verdicts.flatMap(({ complaints }) => complaints)).toEqual([]);
    expect(ours.map((text) => judge(text).outcome)).toEqual(ours.map(() => 'taken'));
    const sections = new Set(ours.flatMap((text) => Object.keys(parseConfig(text, file).root)));
    expect([...sections]).toEqual(expect.arrayContaining(Object.keys(configSchema.shape)));
  });

  // Together some 60 s of one core of the machine that the figures of docs/performance.md are from.
  it.each([
    { what: 'characters and lines', edits: textEdits, seed: 1, runs: 2100 },
    { what: 'fields and items', edits: structureEdits, seed: 2, runs: 1700 },
    { what: 'words and numbers', edits: wordEdits, seed: 3, runs: 1700 },
    {
      what: 'all of that together',
      edits: [...textEdits, ...structureEdits, ...wordEdits],
      seed: 4,
      runs: 2100,
    },
  ])(
    'refuses in order, or takes for what it says, what is left of an example by changes of $what',
    ({ edits, seed, runs }) => {
      const outcomes = { taken: 0, 'let pass': 0, refused: 0 };
      fc.assert(
        fc.property(mutations(edits), (text) => {
          const { outcome, complaints } = judge(text);
          outcomes[outcome]++;
          // The text is what fast-check prints, with the seed.
          expect(complaints).toEqual([]);
        }),
        { seed, numRuns: runs },
      );
      // Where hardly anything comes through, or everything does, nothing was tried.
      expect(Math.min(outcomes.taken, outcomes['let pass'], outcomes.refused)).toBeGreaterThan(runs / 50);
    },
    300_000,
  );
});

describe('the judgement', () => {
  it.each([
    ['a field that is not read', 'limits: { maxBodyDepth: 9 }', ''],
    ['another value', 'scrape: { interval: 2s }', 'scrape: { interval: 20s }'],
    ['another alias', 'models: { aliases: { a: b } }', 'models: { aliases: { a: c } }'],
    [
      'another share',
      'fairness: { weights: { tiers: { a: 2 } } }',
      'fairness: { weights: { tiers: { a: 3 } } }',
    ],
    ['another limit', rule('requests: 5'), rule('requests: 6')],
    ['a limit for others', rule('requests: 5, groups: [a]'), rule('requests: 5')],
    ['a limit for another time', rule('requests: 5, per: day'), rule('requests: 5, per: hour')],
    ['another plugin', scorers('kv-cache', 1), scorers('random', 1)],
    ['another weight', scorers('kv-cache', 1), scorers('kv-cache', 2)],
  ])('finds %s', (_, text, takenFor) => {
    const { written, root } = parseConfig(text, file);
    expect(nonsenseIn(text, { ...parseConfig(text, file), written, root })).toEqual([]);
    expect(nonsenseIn(text, { ...parseConfig(takenFor, file), root })).not.toEqual([]);
    expect(nonsenseInEffect({ ...parseConfig(takenFor, file), written })).not.toEqual([]);
  });

  it.each([
    ['a weight that is no number', 'weight', Number.NaN, /^the weights come to NaN$/],
    ['a weight without end', 'weight', Infinity, /^the totals are /],
    ['a weight below nothing', 'weight', -1, /^the weight of kv-cache is -1$/],
  ])('finds %s', (_, field, value, expected) => {
    const loaded = parseConfig(scorers('kv-cache', 1), file);
    const { profile } = loaded.config.scheduler;
    const scheduler = {
      ...loaded.config.scheduler,
      profile: { ...profile, scorers: profile.scorers.map((scorer) => ({ ...scorer, [field]: value })) },
    };
    expect(nonsenseInEffect({ ...loaded, config: { ...loaded.config, scheduler } })).toContainEqual(
      expect.stringMatching(expected),
    );
  });

  it('finds words that nobody knows, and those in a wrong place', () => {
    const text = 'log: {}\nmodels: { aliases: { any: thing } }';
    const loaded = parseConfig(text, file);
    const root = { log: { interval: 1 }, models: { aliases: { any: 'thing' } }, '': 1 };
    expect(nonsenseIn(text, { ...loaded, root, written: root })).toEqual(
      expect.arrayContaining([
        'nobody knows what log.interval means',
        expect.stringMatching(/^the file does not say /),
      ]),
    );
  });

  const good: ConfigFault = { file, line: 2, column: 1, path: 'log', message: 'is wrong' };
  it.each<[string, unknown, RegExp | undefined]>([
    ['nothing in a good refusal', new ConfigError(file, [good]), undefined],
    ['what is no refusal', new TypeError('x is not a function'), /^threw TypeError/],
    ['no fault', new ConfigError(file, []), /^refused without a fault/],
    ['a place outside', new ConfigError(file, [{ ...good, line: 3 }]), /^is nowhere/],
    ['a column outside', new ConfigError(file, [{ ...good, column: 9 }]), /^is nowhere/],
    ['no place', new ConfigError(file, [{ ...good, line: 0, column: 0 }]), /^is nowhere/],
    ['no words', new ConfigError(file, [{ ...good, message: ' ' }]), /^says nothing/],
    ['a slip', new ConfigError(file, [{ ...good, message: 'undefined is wrong' }]), /^is not for people/],
    ['an object', new ConfigError(file, [{ ...good, path: '[object Object]' }]), /^is not for people/],
    ['disorder', new ConfigError(file, [good, { ...good, line: 1 }]), /^out of order/],
  ])('finds %s', (_, error, expected) => {
    const found = mistakesIn(error, 'log: x\nadmin', file);
    if (expected === undefined) expect(found).toEqual([]);
    else expect(found).toContainEqual(expect.stringMatching(expected));
  });
});

function scorers(name: string, weight: number): string {
  return `scheduler: { plugins: { Score: { enabled: [{ name: ${name}, weight: ${weight} }] } } }`;
}

function rule(fields: string): string {
  return `limits: { rules: [{ name: a, ${fields} }] }`;
}
