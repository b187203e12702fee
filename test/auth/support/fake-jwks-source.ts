/** A source of keys that answers when, and only when, the test says so. */
import type { FetchOptions, JwksAnswer, JwksSource } from '../../../src/auth/jwks-source.ts';
import type { SigningKey } from './tokens.ts';

export interface PendingFetch {
  readonly options: FetchOptions;
  /** Answers with the public halves of these keys. */
  keys(keys: readonly Pick<SigningKey, 'jwk'>[], maxAgeMs?: number): Promise<void>;
  document(document: unknown): Promise<void>;
  fail(message: string): Promise<void>;
}

export class FakeJwksSource implements JwksSource {
  readonly name = 'fake';
  readonly renewable = true;
  /** In the order in which they began. */
  readonly fetches: PendingFetch[] = [];

  get last(): PendingFetch {
    return this.fetches.at(-1)!;
  }

  fetch(options: FetchOptions): Promise<JwksAnswer> {
    const { promise, resolve, reject } = Promise.withResolvers<JwksAnswer>();
    const answer = (document: unknown, maxAgeMs?: number): Promise<void> => {
      resolve({ document, maxAgeMs });
      return settled();
    };
    this.fetches.push({
      options,
      keys: (keys, maxAgeMs) => answer({ keys: keys.map(({ jwk }) => jwk) }, maxAgeMs),
      document: (document) => answer(document),
      fail(message) {
        reject(new Error(message));
        return settled();
      },
    });
    return promise;
  }
}

/** Lets everything run that waits for nothing but promises. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
