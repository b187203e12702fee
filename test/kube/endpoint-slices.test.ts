import { describe, expect, it } from '@jest/globals';
import {
  serviceEngines,
  sliceEngines,
  type EndpointSlice,
  type ServicePort,
} from '../../src/kube/endpoint-slices.ts';

function slice(said: Partial<EndpointSlice> = {}): EndpointSlice {
  return {
    metadata: { name: 's' },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.0.1'] }],
    ports: [{ name: '', port: 8000, protocol: 'TCP' }],
    ...said,
  };
}

const several = [
  { name: 'grpc', port: 9000 },
  { name: 'http', port: 8000 },
  { name: 'dns', port: 53, protocol: 'UDP' },
];

describe('sliceEngines()', () => {
  it.each<[string, object, boolean]>([
    ['nothing', {}, true],
    ['ready', { ready: true, serving: true, terminating: false }, true],
    ['not ready', { ready: false }, false],
    ['terminating, while it serves', { ready: false, serving: true, terminating: true }, false],
    [
      'terminating, though its Service publishes what is not ready',
      { ready: true, terminating: true },
      false,
    ],
  ])('takes an endpoint of which it is said: %s', (_, conditions, isTaken) => {
    const endpoints = [{ addresses: ['10.0.0.1'], conditions }];
    const addresses = isTaken ? [{ address: '10.0.0.1', port: 8000 }] : [];
    expect(sliceEngines(slice({ endpoints }), undefined)).toEqual({
      family: 'IPv4',
      addresses,
      leftOut: undefined,
    });
  });

  it('takes one address of an endpoint', () => {
    const endpoints = [{ addresses: ['10.0.0.1', '10.0.0.2'] }, { addresses: [] }];
    expect(sliceEngines(slice({ endpoints }), undefined)?.addresses).toEqual([
      { address: '10.0.0.1', port: 8000 },
    ]);
  });

  it.each<[string, ServicePort, EndpointSlice['ports'], number]>([
    ['the only one', undefined, [{ port: 1 }], 1],
    ['the only TCP one', undefined, several.slice(1), 8000],
    ['a name', 'http', several, 8000],
    ['a number', 9000, several, 9000],
  ])('takes the port by %s', (_, wanted, ports = [], port) => {
    expect(sliceEngines(slice({ ports: ports ?? [] }), wanted)?.addresses).toEqual([
      { address: '10.0.0.1', port },
    ]);
  });

  it.each<[ServicePort, EndpointSlice['ports'], string]>([
    [undefined, several, 'more or less than one TCP port: name one; there are grpc (9000), http (8000)'],
    [undefined, null, 'more or less than one TCP port: name one; it has none'],
    ['htpp', several, 'no TCP port "htpp"; there are grpc (9000), http (8000)'],
    [53, several, 'no TCP port 53; there are grpc (9000), http (8000)'],
    ['http', [{ port: 8000 }], 'no TCP port "http"; there are 8000'],
  ])('tells where the port %j is not', (wanted, ports, words) => {
    expect(sliceEngines(slice({ ports: ports ?? null }), wanted)).toEqual({
      family: 'IPv4',
      addresses: [],
      leftOut: `EndpointSlice "s" has ${words}`,
    });
  });

  it('has nothing to say where nobody is ready', () => {
    const expected = { family: 'IPv4', addresses: [], leftOut: undefined };
    expect(sliceEngines(slice({ endpoints: null, ports: null }), 'http')).toEqual(expected);
  });

  it('leaves out slices of names', () => {
    expect(sliceEngines(slice({ addressType: 'FQDN' }), undefined)).toBeUndefined();
  });
});

describe('serviceEngines()', () => {
  const of = (family: 'IPv4' | 'IPv6', ...addresses: readonly string[]) => ({
    family,
    addresses: addresses.map((address) => ({ address, port: 1 })),
    leftOut: undefined,
  });
  const found = (...slices: readonly ReturnType<typeof of>[]) =>
    serviceEngines(slices).addresses.map(({ address }) => address);

  it('puts slices together, each address once', () => {
    expect(found(of('IPv4', 'a', 'b'), of('IPv4', 'b', 'c'))).toEqual(['a', 'b', 'c']);
  });

  it('prefers IPv4 where both are there', () => {
    expect(found(of('IPv6', 'x'), of('IPv4', 'a'))).toEqual(['a']);
    expect(found(of('IPv6', 'x'), of('IPv4'))).toEqual(['x']);
  });
});
