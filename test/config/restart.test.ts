import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { atRunTime, atStart, countsAtStartOnly, wholeAtStart } from '../../src/config/restart.ts';
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

describe('wholeAtStart()', () => {
  it('keeps the description of the section', () => {
    const section = wholeAtStart(z.strictObject({ kind: z.string() }).describe('How.'), 'kind');
    expect(section.meta()).toEqual({ description: 'How.', 'x-restart': 'kind' });
    expect(countsAtStartOnly(section)).toBe(false);
  });
});

describe('discovery', () => {
  const list = { static: { backends: [{ url: 'http://a:1' }] } };
  const inKubernetes = { kubernetes: { pods: [{}] } };
  it.each([
    ['another type', list, inKubernetes, list, ['discovery.type']],
    ['another type and back', inKubernetes, { dnsInterval: '1m' }, inKubernetes, ['discovery.type']],
    [
      'another type that is written down',
      { type: 'static', ...list },
      { type: 'kubernetes', ...inKubernetes },
      { type: 'static', ...list },
      ['discovery.type'],
    ],
    ['the type is written down', list, { type: 'static', ...list }, { type: 'static', ...list }, []],
    [
      'other pods',
      inKubernetes,
      { kubernetes: { pods: [{ port: 1 }] } },
      { kubernetes: { pods: [{ port: 1 }] } },
      [],
    ],
    [
      'another API server',
      inKubernetes,
      { kubernetes: { pods: [{ port: 1 }], kubeconfig: '/a', silenceTimeout: '1m' } },
      { kubernetes: { pods: [{ port: 1 }] } },
      ['discovery.kubernetes.kubeconfig', 'discovery.kubernetes.silenceTimeout'],
    ],
  ])('knows what waits: %s', (_, running, next, written, waiting) => {
    expect(atRunTime(configSchema, { discovery: running }, { discovery: next, stats: {} })).toEqual({
      written: { discovery: written, stats: {} },
      waiting,
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
