import { describe, expect, it } from '@jest/globals';
import { anonymous } from '../../src/auth/principal.ts';
import type { Proven } from '../../src/auth/provider.ts';
import { createTokenCache } from '../../src/auth/token-cache.ts';

const key: Proven['key'] = {
  kid: 'k',
  identity: 'k',
  fits: () => true,
  material: () => Promise.resolve(undefined),
};
const proven: Proven = {
  kind: 'proven',
  accepted: { kind: 'accepted', principal: anonymous },
  key,
  expiresEpochMs: 1000,
};
const always = () => true;

describe('createTokenCache()', () => {
  it('gives back what was accepted, the very object', () => {
    const cache = createTokenCache({ maxTokens: 10, maxBytes: 1e6 });
    cache.set('t', proven, always);
    expect(cache.get('t', 0)).toBe(proven.accepted);
    expect(cache.get('u', 0)).toBeUndefined();
    expect(cache.size).toBe(1);
    expect(cache.bytes).toBeGreaterThan(1000);
  });

  it('forgets a token at its end, without tolerance', () => {
    const cache = createTokenCache({ maxTokens: 10, maxBytes: 1e6 });
    cache.set('t', proven, always);
    expect(cache.get('t', 999)).toBeDefined();
    expect(cache.get('t', 1000)).toBeUndefined();
    expect(cache.size).toBe(0);
  });

  it('forgets a token whose key is no longer in use', () => {
    const cache = createTokenCache({ maxTokens: 10, maxBytes: 1e6 });
    const inUse = new Set([key]);
    cache.set('t', proven, (used) => inUse.has(used));
    expect(cache.get('t', 0)).toBeDefined();
    inUse.clear();
    expect(cache.get('t', 0)).toBeUndefined();
    inUse.add(key);
    expect(cache.get('t', 0)).toBeUndefined();
  });

  it('keeps the tokens that were used last, no more than it may', () => {
    const cache = createTokenCache({ maxTokens: 2, maxBytes: 1e6 });
    cache.set('a', proven, always);
    cache.set('b', proven, always);
    cache.get('a', 0);
    cache.set('c', proven, always);
    expect(['a', 'b', 'c'].map((token) => cache.get(token, 0) !== undefined)).toEqual([true, false, true]);
  });

  it('keeps no more bytes than it may, however long the tokens are', () => {
    const cache = createTokenCache({ maxTokens: 1000, maxBytes: 100_000 });
    for (let i = 0; i < 100; i++) cache.set(String(i).padEnd(10_000, 'x'), proven, always);
    expect(cache.size).toBe(2);
    expect(cache.bytes).toBeLessThanOrEqual(100_000);
    cache.set('y'.repeat(200_000), proven, always);
    expect(cache.get('y'.repeat(200_000), 0)).toBeUndefined();
  });
});
