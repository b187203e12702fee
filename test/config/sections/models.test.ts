import { describe, expect, it } from '@jest/globals';
import { modelsSection } from '../../../src/config/sections/models.ts';
import { checkModelName } from '../../../src/request/model-name.ts';

/** Path and message of every fault. */
function faultsOf(written: unknown): string[] {
  const issues = modelsSection.safeParse(written).error?.issues ?? [];
  return issues.map(({ path, message }) => `${path.map(String).join(' > ')}: ${message}`);
}

describe('modelsSection', () => {
  it('renames nothing by default', () => {
    const nothing = { aliases: new Map(), rewrites: new Map() };
    expect(modelsSection.parse({})).toEqual(nothing);
    expect(modelsSection.parse({ aliases: null, rewrites: null })).toEqual(nothing);
  });

  it('gives the names as they are to be looked up', () => {
    const target = 'meta-llama/Llama-3.1-8B-Instruct';
    expect(
      modelsSection.parse({
        aliases: { 'gpt-4o': target, 'ft:gpt': target, 世: 'ü' },
        rewrites: { old: 'new' },
      }),
    ).toEqual({
      aliases: new Map([
        ['gpt-4o', target],
        ['ft:gpt', target],
        ['世', 'ü'],
      ]),
      rewrites: new Map([['old', 'new']]),
    });
  });

  it.each<[string, object, string[]]>([
    ['a field that there is not', { alias: {} }, [': Unrecognized key: "alias"']],
    ['a list', { aliases: ['a'] }, ['aliases: Invalid input: expected record, received array']],
    [
      'a target that is no name',
      { aliases: { a: 7 } },
      ['aliases > a: Invalid input: expected string, received number'],
    ],
    [
      'a blank name',
      { aliases: { '': 'm', ' ': 'm' } },
      ['aliases > : the name "" is blank', 'aliases >  : the name " " is blank'],
    ],
    ['a blank target', { rewrites: { a: ' ' } }, ['rewrites > a: the target " " is blank']],
    [
      'a control character',
      { aliases: { a: 'm\r\nn' } },
      ['aliases > a: the target "m\\r\\nn" has control characters'],
    ],
    [
      'half a character',
      { aliases: { a: '\ud83d' } },
      ['aliases > a: the target "\\ud83d" is not well-formed Unicode'],
    ],
    [
      'a long name',
      { rewrites: { a: 'm'.repeat(257) } },
      [expect.stringContaining('is longer than 256 characters') as never],
    ],
    ['a name that stands for itself', { rewrites: { a: 'a' } }, ['rewrites > a: "a" is its own target']],
    [
      'an alias of an alias',
      { aliases: { a: 'b', b: 'c' } },
      ['aliases > a: the target "b" is itself an alias of "c": name "c" instead'],
    ],
    [
      'an alias of what is rewritten, twice',
      { aliases: { a: 'b' }, rewrites: { b: 'c', c: 'd' } },
      [
        'aliases > a: the target "b" is itself rewritten to "c": name "d" instead',
        'rewrites > b: the target "c" is itself rewritten to "d": name "d" instead',
      ],
    ],
    [
      'a rewrite to an alias',
      { aliases: { b: 'c' }, rewrites: { a: 'b' } },
      ['rewrites > a: the target "b" is itself an alias of "c": name "c" instead'],
    ],
    [
      'a circle',
      { aliases: { a: 'b' }, rewrites: { b: 'a' } },
      ['aliases > a: "a" → "b" → "a" goes in a circle', 'rewrites > b: "b" → "a" → "b" goes in a circle'],
    ],
    [
      'a way into a circle',
      { rewrites: { a: 'b', b: 'c', c: 'b' } },
      [
        'rewrites > a: "a" → "b" → "c" → "b" goes in a circle',
        'rewrites > b: "b" → "c" → "b" goes in a circle',
        'rewrites > c: "c" → "b" → "c" goes in a circle',
      ],
    ],
    [
      'a way to a name that stands for itself',
      { aliases: { a: 'b', b: 'b' } },
      ['aliases > a: "a" → "b" → "b" goes in a circle', 'aliases > b: "b" is its own target'],
    ],
    [
      'a name in both',
      { aliases: { a: 'm' }, rewrites: { a: 'n' } },
      ['rewrites > a: "a" is an alias as well: give the alias this target, or remove it'],
    ],
  ])('refuses %s', (_, written, faults) => {
    expect(faultsOf(written)).toEqual(faults);
  });

  it('tells all faults at once', () => {
    expect(faultsOf({ aliases: { a: '', b: 'b' }, rewrites: { c: '\0' } })).toEqual([
      'aliases > a: the target "" is blank',
      'aliases > b: "b" is its own target',
      'rewrites > c: the target "\\u0000" has control characters',
    ]);
  });

  it.each([
    'm',
    ' m',
    'org/m:tag',
    'ü',
    '',
    ' ',
    '\u00a0',
    'a\tb',
    '\u0085',
    '\u2028',
    'm'.repeat(256),
    'm'.repeat(257),
  ])('takes %j as a name exactly where clients may send it', (name) => {
    let sendable = true;
    try {
      checkModelName(name);
    } catch {
      sendable = false;
    }
    expect(faultsOf({ aliases: { [name]: 'target' } }).length === 0).toBe(sendable);
    expect(faultsOf({ aliases: { alias: name } }).length === 0).toBe(sendable);
  });
});
