import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { atRunTime, atStart, countsAtStartOnly } from '../../src/config/restart.ts';
import { configSchema } from '../../src/config/schema.ts';

const schema = z.strictObject({
  live: z
    .strictObject({ level: z.string().default('info'), port: atStart(z.number().default(1)) })
    .transform((fields) => ({ ...fields }))
    .prefault({}),
  whole: atStart(z.strictObject({ a: z.number().default(1), b: z.number().default(2) }).prefault({})),
});

describe('atStart()', () => {
  it('keeps the description of the field', () => {
    const field = atStart(z.number().default(3).describe('How many.'));
    expect(field.meta()).toEqual({ description: 'How many.', 'x-restart': true });
    expect(countsAtStartOnly(field)).toBe(true);
    expect(countsAtStartOnly(z.number())).toBe(false);
  });
});

describe('limits.store', () => {
  it('is all of what callers may use that waits for a restart', () => {
    const next = {
      fairness: { enabled: true, queueTimeout: '5m' },
      sessionBoost: { header: 'x-chat' },
      limits: { store: 'redis://redis', rules: [{ name: 'a', requests: 1 }] },
      usage: { hideChunk: false },
    };
    expect(atRunTime(configSchema, {}, next)).toEqual({
      written: { ...next, limits: { rules: [{ name: 'a', requests: 1 }] } },
      waiting: ['limits.store'],
    });
  });
});

describe('atRunTime()', () => {
  it.each([
    ['nothing changed', {}, {}, {}, []],
    ['a live field', {}, { live: { level: 'warn' } }, { live: { level: 'warn' } }, []],
    ['a start field appears', {}, { live: { port: 2 } }, { live: {} }, ['live.port']],
    [
      'a start field changes',
      { live: { port: 2 } },
      { live: { port: 3, level: 'warn' } },
      { live: { port: 2, level: 'warn' } },
      ['live.port'],
    ],
    ['a start field goes', { live: { port: 2 } }, {}, { live: { port: 2 } }, ['live.port']],
    ['the default is written down', {}, { live: { port: 1 } }, { live: { port: 1 } }, []],
    [
      'a field of a marked section',
      { whole: { a: 5 } },
      { whole: { b: 6 } },
      { whole: { a: 5 } },
      ['whole.a', 'whole.b'],
    ],
  ])('knows what waits when %s', (_, running, next, written, waiting) => {
    expect(atRunTime(schema, running, next)).toEqual({ written, waiting });
  });
});
