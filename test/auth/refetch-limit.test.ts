import { describe, expect, it } from '@jest/globals';
import { createRefetchLimit } from '../../src/auth/refetch-limit.ts';
import { FakeClock } from '../support/fake-clock.ts';

describe('createRefetchLimit()', () => {
  it('allows one fetch for one key within the cooldown', () => {
    const clock = new FakeClock();
    const limit = createRefetchLimit(clock, { cooldownMs: 1000, burst: 3 });
    expect(limit.ask('a')).toBe('fetch');
    clock.advance(999);
    expect(limit.ask('a')).toBe('asked');
    clock.advance(1);
    expect(limit.ask('a')).toBe('fetch');
  });

  it('allows a few for other keys, then none before the first is a cooldown ago', () => {
    const clock = new FakeClock();
    const limit = createRefetchLimit(clock, { cooldownMs: 1000, burst: 2 });
    expect(limit.ask('a')).toBe('fetch');
    clock.advance(600);
    expect(limit.ask('b')).toBe('fetch');
    expect(limit.ask('c')).toBe('spent');
    expect(limit.ask('b')).toBe('asked');
    clock.advance(400);
    expect(limit.ask('c')).toBe('fetch');
    expect(limit.ask('d')).toBe('spent');
  });
});
