import { describe, expect, it } from '@jest/globals';
import { ConfigError } from '../../src/config/config-error.ts';
import { droppedNames } from '../../src/config/dropped-names.ts';
import { parseConfig } from '../../src/config/load.ts';

const parsed = (json: string) => JSON.parse(json) as unknown;

describe('droppedNames()', () => {
  it.each<[string, string, unknown[]]>([
    ['names of models', '{"models":{"aliases":{"__proto__":"m","a":"b"}}}', [['models', 'aliases']]],
    ['names of groups', '{"auth":{"models":{"__proto__":["m"]}}}', [['auth', 'models']]],
    [
      'names of arguments',
      '{"scheduler":{"pluginConfig":[{"name":"kv-cache"},{"args":{"__proto__":1}}]}}',
      [['scheduler', 'pluginConfig', 1, 'args']],
    ],
    ['nothing where there can be fields only', '{"__proto__":1,"log":{"__proto__":{}}}', []],
    ['nothing in other names', '{"models":{"aliases":{"constructor":"m","prototype":"n"}}}', []],
    ['nothing in what is no mapping', 'null', []],
  ])('finds %s', (_, json, paths) => {
    expect(droppedNames(parsed(json)).map(({ path }) => path)).toEqual(paths);
  });

  it.each([false, true])('finds what nobody else does: parseConfig() refuses it, lenient %s', (lenient) => {
    expect(() => parseConfig('models:\n  aliases: { a: b, __proto__: m }', 'f', { lenient })).toThrow(
      new ConfigError('f', [
        {
          file: 'f',
          line: 2,
          column: 20,
          path: 'models.aliases.__proto__',
          message: '"__proto__" cannot be a name here: choose another one',
        },
      ]),
    );
  });
});
