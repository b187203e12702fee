import { describe, expect, it } from '@jest/globals';
import { envoyAddress, isNumeric, parseSocketAddress } from '../../src/envoy/address.ts';

describe('parseSocketAddress()', () => {
  it.each([
    ['127.0.0.1:9002', { kind: 'tcp', host: '127.0.0.1', port: 9002 }],
    [':8001', { kind: 'tcp', host: '0.0.0.0', port: 8001 }],
    ['[::1]:80', { kind: 'tcp', host: '::1', port: 80 }],
    ['sluice.default.svc:9002', { kind: 'tcp', host: 'sluice.default.svc', port: 9002 }],
    ['unix:/run/sluice.sock', { kind: 'unix', path: '/run/sluice.sock' }],
    ['unix:///run/sluice.sock', { kind: 'unix', path: '/run/sluice.sock' }],
  ])('reads %s', (text, address) => {
    expect(parseSocketAddress(text)).toEqual(address);
  });

  it.each(['8001', '127.0.0.1', 'host:99999', '::1:80', '[host]:80', 'unix:run/sluice.sock'])(
    'refuses %s',
    (text) => {
      expect(() => parseSocketAddress(text)).toThrow(`Cannot use address "${text}"`);
    },
  );
});

describe('isNumeric()', () => {
  it.each([
    ['10.0.0.1:1', true],
    ['[::1]:1', true],
    ['localhost:1', true],
    ['unix:/a', true],
    ['sluice:1', false],
  ])('%s: %s', (text, expected) => {
    expect(isNumeric(parseSocketAddress(text))).toBe(expected);
  });
});

describe('envoyAddress()', () => {
  it.each([
    ['10.0.0.1:80', { socket_address: { address: '10.0.0.1', port_value: 80 } }],
    ['localhost:80', { socket_address: { address: '127.0.0.1', port_value: 80 } }],
    ['[::]:80', { socket_address: { address: '::', port_value: 80, ipv4_compat: true } }],
    ['unix:/run/a.sock', { pipe: { path: '/run/a.sock', mode: 0o600 } }],
  ])('writes %s as Envoy reads it', (text, expected) => {
    expect(envoyAddress(parseSocketAddress(text))).toEqual(expected);
  });
});
