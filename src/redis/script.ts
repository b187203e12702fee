/** Lua scripts: what Redis does in one step. */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';

/** Runs the script and resolves with its answer, which the caller parses. */
export type RedisScript = (
  redis: Redis,
  keys: readonly string[],
  args: readonly (string | number)[],
) => Promise<unknown>;

/**
 * Creates a script. Its text is sent once for each connection, then its digest only; commands stay in the order in
 * which they were given, also when they are given all at once to a server that has just been started.
 */
export function createRedisScript(lua: string): RedisScript {
  const digest = createHash('sha1').update(lua).digest('hex');
  const known = new WeakSet<Redis>();
  return async (redis, keys, args) => {
    const send = (): Promise<unknown> => redis.eval(lua, keys.length, ...keys, ...args);
    if (!known.has(redis)) {
      known.add(redis);
      return send();
    }
    try {
      return await redis.evalsha(digest, keys.length, ...keys, ...args);
    } catch (error) {
      // Somebody made the server forget its scripts.
      if (String(error).includes('NOSCRIPT')) return send();
      throw error;
    }
  };
}
