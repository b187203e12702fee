/** Tokens that were verified, so that each costs one signature and not one per request. */
import { LRUCache } from 'lru-cache';
import type { Accepted } from './auth-result.ts';
import type { Proven, Provider } from './provider.ts';

export interface TokenCacheOptions {
  readonly maxTokens: number;
  /** All tokens and their claims together, estimated. */
  readonly maxBytes: number;
}

export interface TokenCache {
  /** What a token was worth, as long as it is: its key is still in use and `exp` is not reached. */
  get(token: string, epochMs: number): Accepted | undefined;
  set(token: string, proven: Proven, holds: Provider['holds']): void;
  readonly size: number;
  readonly bytes: number;
}

interface Entry {
  readonly proven: Proven;
  readonly holds: Provider['holds'];
}

/** Of an entry besides its token. */
const entryBytes = 1024;
/** The token itself, and its claims as objects. */
const bytesPerTokenByte = 4;

/** Creates a cache that forgets the least recently used tokens first. */
export function createTokenCache({ maxTokens, maxBytes }: TokenCacheOptions): TokenCache {
  const entries = new LRUCache<string, Entry>({
    max: maxTokens,
    maxSize: maxBytes,
    sizeCalculation: (_entry, token) => entryBytes + bytesPerTokenByte * token.length,
  });
  return {
    get(token, epochMs) {
      const entry = entries.get(token);
      if (entry === undefined) return undefined;
      if (epochMs < entry.proven.expiresEpochMs && entry.holds(entry.proven.key))
        return entry.proven.accepted;
      entries.delete(token);
      return undefined;
    },
    set(token, proven, holds) {
      entries.set(token, { proven, holds });
    },
    get size() {
      return entries.size;
    },
    get bytes() {
      return entries.calculatedSize;
    },
  };
}
