import { describe, expect, it } from '@jest/globals';
import { isRedisUrl, parseRedisUrl } from '../../src/lib/redis-url.ts';

describe('parseRedisUrl()', () => {
  it.each([
    [
      'redis://cache',
      { host: 'cache', port: 6379, username: undefined, password: undefined, db: 0, tls: false },
      'redis://cache:6379',
    ],
    [
      'rediss://cache:7000/3',
      { host: 'cache', port: 7000, username: undefined, password: undefined, db: 3, tls: true },
      'rediss://cache:7000/3',
    ],
    [
      'redis://:p%40ss@cache',
      { host: 'cache', port: 6379, username: undefined, password: 'p@ss', db: 0, tls: false },
      'redis://cache:6379',
    ],
    [
      'redis://sluice:secret@[::1]:6380/',
      { host: '::1', port: 6380, username: 'sluice', password: 'secret', db: 0, tls: false },
      'redis://[::1]:6380',
    ],
  ])('reads %s', (url, address, shown) => {
    expect(parseRedisUrl(url)).toEqual({ ...address, shown });
    expect(isRedisUrl(url)).toBe(true);
  });

  it.each([
    ['cache:6379', 'Cannot use the Redis "cache:6379": it is neither redis:// nor rediss://'],
    ['http://u:secret@cache', 'Cannot use the Redis "http://…@cache": it is neither redis:// nor rediss://'],
    ['u:secret@cache', 'Cannot use the Redis "…@cache": it is neither redis:// nor rediss://'],
    ['redis://u:secret@', 'Cannot use the Redis "redis://…@": it is not a URL'],
    ['redis:///3', 'Cannot use the Redis "redis:///3": it has no host'],
    ['redis://u:sec#ret@cache', 'Cannot use the Redis "redis://…@cache": it is not a URL'],
    ['redis://u:100%@cache', 'Cannot use the Redis "redis://cache:6379": in user and password, % begins'],
    ['redis://cache:0', 'Cannot use the Redis "redis://cache:0": no server has port 0'],
    ['redis://cache?', 'Cannot use the Redis "redis://cache:6379": it goes on after the database'],
    ['redis://cache/main', 'Cannot use the Redis "redis://cache:6379/main": "main" is not the number'],
    [
      'redis://:secret@cache?db=3',
      'Cannot use the Redis "redis://cache:6379": it goes on after the database',
    ],
  ])('refuses %s', (url, message) => {
    expect(() => parseRedisUrl(url)).toThrow(message);
    expect(() => parseRedisUrl(url)).toThrow('write redis://host:6379 or rediss://host:6379');
    expect(isRedisUrl(url)).toBe(false);
  });
});
