import { describe, expect, it } from '@jest/globals';
import { clientAddress } from '../../src/extproc/client-address.ts';

describe('clientAddress()', () => {
  it.each([
    ['127.0.0.1:52814', '127.0.0.1'],
    ['203.0.113.7:0', '203.0.113.7'],
    ['[::1]:52814', '::1'],
    ['[2001:db8::7]:0', '2001:db8::7'],
  ])('takes the port off %s', (source, address) => {
    expect(clientAddress({ 'source.address': source })).toBe(address);
  });

  it.each([
    ['a Unix socket', '/run/client.sock'],
    ['a Unix socket with an odd name', '/run/127.0.0.1:80'],
    ['nothing', ''],
    ['a bracket', '['],
    ['a host name', 'client.example.com:80'],
    ['no text', 7],
  ])('is undefined for %s', (_, source) => {
    expect(clientAddress({ 'source.address': source })).toBeUndefined();
  });

  it('is undefined where Envoy was not asked', () => {
    expect(clientAddress({ 'upstream.address': '10.0.0.1:8000' })).toBeUndefined();
  });
});
