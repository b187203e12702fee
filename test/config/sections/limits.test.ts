import { describe, expect, it } from '@jest/globals';
import { limitNotes, limitsSection } from '../../../src/config/sections/limits.ts';
import { sectionFaults } from './section-faults.ts';

const faultsOf = (written: unknown): string[] => sectionFaults(limitsSection, written);

const notStore =
  'store: is neither memory nor the URL of a Redis server: write it like redis://:password@redis:6379/0, or with rediss for TLS; in the password, write / as %2F, @ as %40 and % as %25';

describe('limitsSection', () => {
  it('limits no callers by default', () => {
    expect(limitsSection.parse({})).toEqual({
      maxBodyBytes: 16_777_216,
      maxBodyDepth: 128,
      drainTimeoutMs: 30_000,
      store: 'memory',
      rules: [],
    });
  });

  it('has rules with all of their fields', () => {
    const rule = {
      name: 'free tier',
      scope: 'group',
      subjects: ['alice'],
      groups: ['free'],
      models: ['m', 'n'],
      inputTokens: 10_000,
      outputTokens: 5000,
      totalTokens: 12_000,
      requests: 60,
      per: 'day',
      concurrentRequests: 8,
    };
    expect(limitsSection.parse({ rules: [rule] }).rules).toEqual([{ ...rule, perMs: 86_400_000 }]);
  });

  it('has rules for each caller and minute, with nothing that is not written', () => {
    const [rule] = limitsSection.parse({ rules: [{ name: 'all', requests: 1 }] }).rules;
    expect(rule).toStrictEqual({
      name: 'all',
      scope: 'principal',
      requests: 1,
      per: 'minute',
      perMs: 60_000,
    });
  });

  it.each([
    ['second', 1000],
    ['minute', 60_000],
    ['hour', 3_600_000],
    ['day', 86_400_000],
    ['month', 2_592_000_000],
  ])('takes a %s for %i ms', (per, perMs) => {
    expect(limitsSection.parse({ rules: [{ name: 'a', requests: 1, per }] }).rules[0]?.perMs).toBe(perMs);
  });

  it.each([
    'memory',
    'redis://redis',
    'redis://redis:6379/',
    'redis://10.0.0.1:6379/15',
    'redis://[fd00::1]:6379',
    'redis://:pass%2Fword@my_redis.svc:6379/0',
    'rediss://user:password@redis.example:6380/1',
  ])('keeps what callers have used in %s', (store) => {
    expect(limitsSection.parse({ store }).store).toBe(store);
  });

  it.each<[unknown]>([
    [''],
    ['Memory'],
    ['redis'],
    ['redis:6379'],
    ['redis://'],
    ['redis://:sesame@'],
    ['redis://redis:port'],
    ['redis://redis:0'],
    ['redis://redis/zero'],
    ['redis://redis/0/1'],
    ['redis://redis?password=sesame'],
    ['redis://redis#0'],
    ['redis://:open%sesame@redis'],
    ['redis://:open/sesame@redis'],
    ['redis://:open?sesame@redis'],
    ['redis://:open#sesame@redis'],
    ['http://:sesame@redis:6379'],
    ['/run/redis.sock'],
    [{ url: 'redis://:sesame@redis' }],
    [['redis://:sesame@redis']],
    [6379],
    [null],
  ])('refuses the store %j, and does not show it', (store) => {
    expect(faultsOf({ store })).toEqual([notStore]);
  });

  const named = (fields: object): unknown => ({ rules: [{ name: 'a', ...fields }] });

  it.each<[unknown, string[]]>([
    [{ rules: [{ requests: 1 }] }, ['rules.0.name: is missing']],
    ...['', ' a', 'a ', 'a\n', 'é', 'x'.repeat(65)].map((name): [unknown, string[]] => [
      { rules: [{ name, requests: 1 }] },
      [
        `rules.0.name: ${JSON.stringify(name)} is not a name of 1 to 64 ASCII characters that can be printed, without blanks around it`,
      ],
    ]),
    [
      named({}),
      [
        'rules.0: limits nothing: say how many inputTokens, outputTokens, totalTokens, requests or concurrentRequests',
      ],
    ],
    [
      named({ per: 'hour', groups: ['g'] }),
      [
        'rules.0: limits nothing: say how many inputTokens, outputTokens, totalTokens, requests or concurrentRequests',
      ],
    ],
    [named({ requests: 0 }), ['rules.0.requests: 0 is too small: the least is 1']],
    [named({ inputTokens: 1.5 }), ['rules.0.inputTokens: 1.5 is not a whole number']],
    [named({ outputTokens: '5' }), ['rules.0.outputTokens: "5" is not a number']],
    [named({ concurrentRequests: -1 }), ['rules.0.concurrentRequests: -1 is too small: the least is 1']],
    [
      named({ requests: 1, per: 'minutes' }),
      [
        'rules.0.per: "minutes" is not one of "second", "minute", "hour", "day", "month"; did you mean "minute"?',
      ],
    ],
    [
      named({ requests: 1, scope: 'user' }),
      ['rules.0.scope: "user" is not one of "principal", "group", "model"'],
    ],
    [
      named({ requests: 1, groups: [] }),
      ['rules.0.groups: must not be empty: leave it out where all are meant'],
    ],
    [named({ requests: 1, models: [''] }), ['rules.0.models.0: must not be empty']],
    [named({ requests: 1, request: 1 }), ['rules.0: there is no field "request" here']],
    [
      { rules: Array.from({ length: 101 }, (_, i) => ({ name: `rule ${i}`, requests: 1 })) },
      [expect.stringContaining('has too many items: the greatest is 100') as unknown as string],
    ],
    [
      { rules: [{ name: 'a', requests: 1 }, { name: 'b' }, { name: 'a', requests: 0 }] },
      [
        'rules.1: limits nothing: say how many inputTokens, outputTokens, totalTokens, requests or concurrentRequests',
        'rules.2.requests: 0 is too small: the least is 1',
        'rules.2.name: "a" is the name of an earlier rule as well',
      ],
    ],
    [{ rules: { a: 1 } }, ['rules: {"a":1} is not a list']],
  ])('refuses %j', (written, faults) => {
    expect(faultsOf(written)).toEqual(faults);
  });
});

describe('limitNotes()', () => {
  const { rules } = limitsSection.parse({
    rules: [
      { name: 'all', requests: 1 },
      { name: 'by model', scope: 'model', models: ['m'], requests: 1 },
      { name: 'by group', scope: 'group', requests: 1 },
      { name: 'free', groups: ['free'], requests: 1 },
      { name: 'alice', subjects: ['alice'], requests: 1 },
    ],
  });

  it('names rules about users where there are none', () => {
    expect(limitNotes(rules, false)).toEqual(
      ['by group', 'free', 'alice'].map(
        (name) =>
          `limits.rules: without an issuer nobody has a subject or a group, and rule "${name}" is about nobody`,
      ),
    );
  });

  it('has nothing to say of them where there are', () => {
    expect(limitNotes(rules, true)).toEqual([]);
  });
});
