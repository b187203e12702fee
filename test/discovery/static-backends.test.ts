import { describe, expect, it } from '@jest/globals';
import { parseBackends } from '../../src/discovery/static-backends.ts';

describe('parseBackends()', () => {
  it('pairs backends with models, item by item', () => {
    expect(parseBackends('http://10.0.0.1:8000, https://engine:8443,', 'm, n')).toEqual([
      { host: '10.0.0.1', isName: false, port: 8000, tls: false, models: ['m'] },
      { host: 'engine', isName: true, port: 8443, tls: true, models: ['n'] },
    ]);
  });

  it('leaves the models to the engines where none are given', () => {
    expect(parseBackends('http://a:8000', undefined)[0]?.models).toEqual([]);
  });

  const hosts: readonly [string, string, boolean, number][] = [
    ['http://a', 'a', true, 80],
    ['https://a', 'a', true, 443],
    ['http://a:80/', 'a', true, 80],
    ['HTTP://Engine.Example:8000', 'engine.example', true, 8000],
    ['http://[::1]:8000', '::1', false, 8000],
    ['http://[fd00:0:0::1]', 'fd00::1', false, 80],
    ['http://vllm.default.svc.cluster.local:8000', 'vllm.default.svc.cluster.local', true, 8000],
  ];
  it.each(hosts)('reads %s', (text, host, isName, port) => {
    expect(parseBackends(text, undefined)).toMatchObject([{ host, isName, port }]);
  });

  const refusals: readonly [string, string | undefined, string][] = [
    ['', undefined, 'Cannot use --static-backends "": name at least one engine'],
    [
      '10.0.0.1:8000',
      undefined,
      'Cannot use backend "10.0.0.1:8000": write it as "http://host:port" or "https://host:port"',
    ],
    [
      'ftp://a:1',
      undefined,
      'Cannot use backend "ftp://a:1": write it as "http://host:port" or "https://host:port"',
    ],
    [
      'http://a:8000/v1',
      undefined,
      'Cannot use backend "http://a:8000/v1": only host and port belong here; remove "/v1"',
    ],
    [
      'http://a:8000?x=1',
      undefined,
      'Cannot use backend "http://a:8000?x=1": only host and port belong here; remove "?x=1"',
    ],
    [
      'http://u:secret@a:8000',
      undefined,
      'Cannot use backend "http://****@a:8000": a URL must not hold a user name or password',
    ],
    [
      'u:secret@a:8000',
      undefined,
      'Cannot use backend "****@a:8000": write it as "http://host:port" or "https://host:port"',
    ],
    [
      'http://a:99999',
      undefined,
      'Cannot use backend "http://a:99999": it is not a URL; the port must be 1 to 65535',
    ],
    ['http://a:0', undefined, 'Cannot use backend "http://a:0": the port must be 1 to 65535'],
    [
      'http://::1:8000',
      undefined,
      'Cannot use backend "http://::1:8000": it is not a URL; the port must be 1 to 65535',
    ],
    ['http://a,,http://b', undefined, 'Cannot use backend "": the item is empty; remove the extra comma'],
    [
      'http://a:80,http://A/',
      undefined,
      'Cannot use backend "http://A/": it is the same engine as "http://a:80"',
    ],
    [
      'http://a,http://b',
      'm,',
      'Cannot match --static-models to --static-backends: 1 model for 2 backends. Give one model per backend, in the same order, or leave --static-models out to ask the engines',
    ],
    ['http://a,http://b', ',m', 'Cannot use --static-models ",m": item 1 is empty'],
  ];
  it.each(refusals)('refuses %j with models %j', (urls, models, message) => {
    expect(() => parseBackends(urls, models)).toThrow(new Error(message));
  });
});
