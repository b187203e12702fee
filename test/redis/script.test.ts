import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { createRedisScript } from '../../src/redis/script.ts';
import { startRedis, type RedisServer } from '../support/redis.ts';

let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});

afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

describe('createRedisScript()', () => {
  it('runs with keys and arguments', async () => {
    const script = createRedisScript('return {KEYS[1], ARGV[1] + ARGV[2]}');
    expect(await script(redis, ['key'], [2, '3'])).toEqual(['key', 5]);
  });

  it('sends its text once, and again when the server forgot it', async () => {
    const script = createRedisScript(`return 'a script'`);
    const calls = async (): Promise<string[]> =>
      [...(await redis.info('commandstats')).matchAll(/cmdstat_(eval(?:sha)?:calls=\d+)/g)]
        .map(([, count]) => count!)
        .sort();
    await redis.config('RESETSTAT');
    for (let i = 0; i < 3; i++) expect(await script(redis, [], [])).toBe('a script');
    expect(await calls()).toEqual(['eval:calls=1', 'evalsha:calls=2']);
    await redis.script('FLUSH');
    expect(await script(redis, [], [])).toBe('a script');
    expect(await calls()).toEqual(['eval:calls=2', 'evalsha:calls=3']);
  });

  it('keeps the order of what is asked at once of a server that knows no script yet', async () => {
    const add = createRedisScript(`return redis.call('RPUSH', 'order', ARGV[1])`);
    const size = createRedisScript(`return redis.call('LLEN', 'order')`);
    const answers = [add(redis, ['order'], [1]), size(redis, ['order'], []), add(redis, ['order'], [2])];
    expect(await Promise.all(answers)).toEqual([1, 1, 2]);
  });

  it('rejects with the error of the script', async () => {
    const script = createRedisScript(`return redis.error_reply('OOPS it went wrong')`);
    await expect(script(redis, [], [])).rejects.toThrow('OOPS it went wrong');
  });
});
