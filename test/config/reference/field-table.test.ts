import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { configForm } from '../../../src/config/json-schema.ts';
import { fieldTable, markdownTable } from '../../../src/config/reference/field-table.ts';
import { atStart } from '../../../src/config/restart.ts';
import { duration, size } from '../../../src/config/units.ts';

/** The cells of each row. */
function rows(shape: Record<string, z.ZodType>): string[][] {
  return fieldTable(configForm(z.strictObject(shape)))
    .split('\n')
    .slice(2)
    .map((line) => line.slice(2, -2).split(' | '));
}

describe('markdownTable()', () => {
  it('keeps cells in one line and one column', () => {
    expect(markdownTable(['a', 'b'], [['x|y', 'two\nlines']])).toBe(
      '| a | b |\n| --- | --- |\n| x\\|y | two lines |',
    );
  });
});

describe('fieldTable()', () => {
  it.each<[string, z.ZodType, string, string]>([
    ['a duration', duration().default(1500), 'duration', '`1.5s`'],
    ['a size', size().default(1024), 'size', '`1KiB`'],
    ['a switch', z.boolean().default(false), 'true or false', '`false`'],
    ['choices', z.enum(['a', 'b']).default('b'), '`a`, `b`', '`b`'],
    ['a range', z.int().min(1).max(9).default(3), 'whole number, 1 to 9', '`3`'],
    ['a bound', z.number().min(0), 'number, 0 or more', 'required'],
    ['a text without a default', z.string().optional(), 'text', ''],
    ['an empty text', z.string().default(''), 'text', '`""`'],
    ['a list', z.array(z.string()).default([]), 'list of texts', 'none'],
    ['a list with a default', z.array(z.string()).default(['a', 'b']), 'list of texts', '`[ a, b ]`'],
    [
      'a mapping of any names',
      z.record(z.string(), z.string()).nullable().default({}),
      'mapping of names to texts',
      'none',
    ],
    ['anything', z.looseObject({}), 'mapping', 'required'],
    ['a list of anything', z.array(z.unknown()), 'list', 'required'],
    ['one or the other', z.union([z.string(), z.boolean()]).optional(), 'text or true or false', ''],
  ])('shows %s', (_, schema, type, byDefault) => {
    expect(rows({ field: schema.describe('What it is.') })).toEqual([
      ['`field`', type, byDefault, 'at run time', 'What it is.'],
    ]);
  });

  it('goes down into mappings and lists, and says for each field when it counts', () => {
    const server = z.strictObject({ url: z.string().describe('Where.') });
    const shape = {
      servers: z.array(server).default([]).describe('All.'),
      tls: atStart(
        z
          .strictObject({ on: z.boolean().default(true).describe('Whether.') })
          .prefault({})
          .describe('How.'),
      ),
    };
    expect(rows(shape)).toEqual([
      ['`servers`', 'list of mappings', 'none', 'at run time', 'All.'],
      ['`servers[].url`', 'text', 'required', 'at run time', 'Where.'],
      ['`tls`', 'mapping', '', 'restart', 'How.'],
      ['`tls.on`', 'true or false', '`true`', 'restart', 'Whether.'],
    ]);
  });

  it('takes the mark of a whole section for all of its fields', () => {
    const table = fieldTable(configForm(atStart(z.strictObject({ port: z.int().describe('Where.') }))));
    expect(table).toContain('| `port` | whole number | required | restart | Where. |');
  });
});
