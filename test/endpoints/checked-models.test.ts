import { describe, expect, it } from '@jest/globals';
import {
  combinedHealth,
  mayServe,
  serveAlike,
  type CheckedModels,
} from '../../src/endpoints/checked-models.ts';
import type { Health } from '../../src/endpoints/endpoint.ts';

function checks(trustOthers: boolean, problems: Readonly<Record<string, string | undefined>>): CheckedModels {
  return { trustOthers, problems: new Map(Object.entries(problems)) };
}

const passed = undefined;

describe('mayServe()', () => {
  it.each<[string, CheckedModels | undefined, boolean]>([
    ['where nobody checks', undefined, true],
    ['a model that passed', checks(false, { m: passed }), true],
    ['a model that failed', checks(true, { m: 'HTTP 500' }), false],
    ['another model, trusted', checks(true, { a: 'HTTP 500' }), true],
    ['another model, not trusted', checks(false, { a: passed }), false],
  ])('%s', (_, known, expected) => {
    expect(mayServe(known, 'm')).toBe(expected);
  });
});

describe('serveAlike()', () => {
  it.each<[string, CheckedModels | undefined, CheckedModels | undefined, boolean]>([
    ['no checks and trust', undefined, checks(true, {}), true],
    ['no checks and no trust', undefined, checks(false, {}), false],
    ['a trusted model and one that passed', checks(true, {}), checks(true, { m: passed }), true],
    ['other words', checks(true, { m: 'a' }), checks(true, { m: 'b' }), true],
    ['a model that fails', checks(true, { m: passed }), checks(true, { m: 'a' }), false],
    ['a model that failed and is forgotten', checks(true, { m: 'a' }), checks(true, {}), false],
    ['another model that fails', checks(true, { m: 'a' }), checks(true, { n: 'a' }), false],
  ])('%s', (_, a, b, expected) => {
    expect([serveAlike(a, b), serveAlike(b, a)]).toEqual([expected, expected]);
  });
});

describe('combinedHealth()', () => {
  const healthy: Health = { kind: 'healthy' };
  const refused: Health = { kind: 'unhealthy', reason: 'connection refused', sinceMs: 3 };
  const unknown: Health = { kind: 'unknown' };
  const failed = (reason: string): Health => ({ kind: 'unhealthy', reason, sinceMs: 7 });

  it.each<[string, Health, CheckedModels | undefined, Health]>([
    ['nobody checks', healthy, undefined, healthy],
    ['the engine is down', refused, checks(true, { m: passed }), refused],
    ['the engine was not heard of', unknown, checks(false, {}), unknown],
    ['every model passed', healthy, checks(true, { m: passed }), healthy],
    ['some model passed', healthy, checks(true, { m: 'a', n: passed }), healthy],
    ['some model passed, the others come later', healthy, checks(false, { m: passed }), healthy],
    ['nothing was checked and nothing is trusted', healthy, checks(false, {}), unknown],
    ['nothing was checked and all is trusted', healthy, checks(true, {}), healthy],
    ['the only model failed', healthy, checks(false, { m: 'a' }), failed('a')],
    ['every model failed', healthy, checks(false, { m: 'a', n: 'b', o: 'c' }), failed('a (and 2 more)')],
  ])('where %s', (_, engine, known, expected) => {
    expect(combinedHealth(engine, known, 7)).toEqual(expected);
  });
});
