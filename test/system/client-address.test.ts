import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { BootstrapOptions } from '../../src/envoy/bootstrap.ts';
import { downloadTimeoutMs, testedEnvoyVersions } from '../support/envoy.ts';
import { startExchangeRig, type ExchangeRig } from '../support/exchange-rig.ts';
import { send } from '../support/http-client.ts';

type Case = readonly [forwardedFor: string | undefined, address: string | undefined];

const peer = '127.0.0.1';

describe.each<[name: string, bootstrap: Partial<BootstrapOptions>, version: string, cases: readonly Case[]]>([
  [
    'with no trusted proxy is the peer, whatever it writes',
    { clientAddress: true },
    '1.40.0',
    [
      [undefined, peer],
      ['203.0.113.9', peer],
      ['198.51.100.1, 203.0.113.9', peer],
    ],
  ],
  ...testedEnvoyVersions.map(
    (version) =>
      [
        `behind one trusted proxy is what that one wrote last, for Envoy ${version}`,
        { clientAddress: true, trustedHops: 1 },
        version,
        [
          [undefined, peer],
          ['203.0.113.9', '203.0.113.9'],
          ['198.51.100.1, 203.0.113.9', '203.0.113.9'],
          ['2001:db8::7', '2001:db8::7'],
          ['unknown', peer],
        ],
      ] as [string, Partial<BootstrapOptions>, string, readonly Case[]],
  ),
  [
    'behind two is the one before the last',
    { clientAddress: true, trustedHops: 2 },
    '1.40.0',
    [
      ['192.0.2.1, 198.51.100.1, 203.0.113.9', '198.51.100.1'],
      ['203.0.113.9', peer],
    ],
  ],
  ['is not told unless asked for', {}, '1.40.0', [['203.0.113.9', undefined]]],
])("the client's address %s", (_name, bootstrap, envoyVersion, cases) => {
  let rig: ExchangeRig;
  beforeAll(async () => {
    rig = await startExchangeRig({ bootstrap, envoyVersion });
  }, downloadTimeoutMs);
  afterAll(() => rig.stop());

  it.each(cases)('X-Forwarded-For %s: %s', async (forwardedFor, address) => {
    const headers = forwardedFor === undefined ? [] : [['x-forwarded-for', forwardedFor] as const];
    expect(await send(rig.port, { method: 'GET', path: '/v1/models', headers })).toMatchObject({
      status: 200,
    });
    expect(rig.heads.at(-1)?.clientAddress).toBe(address);
  });
});
