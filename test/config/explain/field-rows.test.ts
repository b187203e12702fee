import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { fieldRows } from '../../../src/config/explain/field-rows.ts';
import { configForm } from '../../../src/config/json-schema.ts';
import { duration, size } from '../../../src/config/units.ts';

/** Each field as `path = value`, with `!` where somebody wrote it. */
function rows(shape: Record<string, z.ZodType>, effective: unknown, written: unknown = effective): string[] {
  return fieldRows(configForm(z.strictObject(shape)), effective, written).map(
    ({ path, value, isDefault }) => `${path} = ${value}${isDefault ? '' : ' !'}`,
  );
}

describe('fieldRows()', () => {
  it('shows durations and sizes in their usual form', () => {
    expect(
      rows(
        { wait: duration(), most: size(), waits: z.array(duration()) },
        { wait: 90, most: 65_536, waits: [60, '500ms'] },
      ),
    ).toEqual(['wait = 1m30s !', 'most = 64KiB !', 'waits = 1m, 500ms !']);
  });

  it('goes down into mappings and lists of mappings', () => {
    const backend = z.strictObject({ url: z.string(), models: z.array(z.string()).default([]) });
    expect(
      rows(
        { on: z.boolean(), static: z.strictObject({ backends: z.array(backend) }) },
        {
          on: true,
          static: {
            backends: [
              { url: 'http://a', models: [] },
              { url: 'b', models: ['m', 'n'] },
            ],
          },
        },
        { static: { backends: [{ url: 'http://a' }, { url: 'b', models: ['m', 'n'] }] } },
      ),
    ).toEqual([
      'on = true',
      'static.backends[0].url = http://a !',
      'static.backends[0].models = none',
      'static.backends[1].url = b !',
      'static.backends[1].models = m, n !',
    ]);
  });

  it('shows mappings of any names, and nothing where there is nothing', () => {
    const names = z.record(z.string(), z.string());
    expect(rows({ aliases: names, rewrites: names }, { aliases: { a: 'b' }, rewrites: {} })).toEqual([
      'aliases.a = b !',
      'rewrites = none !',
    ]);
  });

  it('counts keys in place of showing their numbers', () => {
    const jwks = z.looseObject({ keys: z.array(z.unknown()) });
    expect(rows({ jwks }, { jwks: { keys: [{ kty: 'RSA', n: '12' }, { kty: 'EC' }] } })).toEqual([
      'jwks = 2 keys, given here !',
    ]);
    expect(rows({ jwks }, { jwks: { keys: [{ kty: 'RSA' }] } })).toEqual(['jwks = 1 key, given here !']);
  });

  it('quotes what could not be seen or would break the table', () => {
    expect(
      rows({ a: z.string(), b: z.string(), c: z.string() }, { a: '', b: ' x', c: 'x\n\u001b[31my' }),
    ).toEqual(['a = "" !', 'b = " x" !', 'c = "x\\n\\u001b[31my" !']);
  });

  it('knows the default of a field as it would be shown', () => {
    const form = configForm(z.strictObject({ wait: duration().default(60_000), name: z.string() }));
    expect(
      fieldRows(form, { wait: '60000ms', name: 'x' }, { wait: '60000ms' }).map(({ value, defaultValue }) => [
        value,
        defaultValue,
      ]),
    ).toEqual([
      ['1m', '1m'],
      ['x', undefined],
    ]);
  });
});
