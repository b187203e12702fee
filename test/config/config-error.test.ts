import { describe, expect, it } from '@jest/globals';
import { ConfigError, faultText, type ConfigFault } from '../../src/config/config-error.ts';

const fault: ConfigFault = { file: 'f', line: 2, column: 3, path: 'log.level', message: 'is wrong' };

describe('faultText()', () => {
  it.each<[string, Partial<ConfigFault>, string]>([
    ['place, field and message', {}, 'f:2:3: log.level: is wrong'],
    ['no place where there is none', { line: 0, column: 0 }, 'f: log.level: is wrong'],
    ['no field for a file as a whole', { path: '' }, 'f:2:3: is wrong'],
    [
      'one line, whatever a key or a quotation has in it',
      { path: 'a\r\nb', message: '{{ x\n}} is\u2028a\u001b[31m template' },
      'f:2:3: a b: {{ x }} is a [31m template',
    ],
  ])('has %s', (_, known, expected) => {
    expect(faultText({ ...fault, ...known })).toBe(expected);
  });
});

describe('ConfigError', () => {
  it('has one line for each fault below the first', () => {
    const { message } = new ConfigError('f', [fault, { ...fault, message: 'is\nwrong' }]);
    expect(message).toBe(
      'Cannot use configuration "f": 2 faults\n  f:2:3: log.level: is wrong\n  f:2:3: log.level: is wrong',
    );
  });
});
