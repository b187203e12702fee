import { describe, expect, it } from '@jest/globals';
import { extProcFilter } from '../../../src/envoy/bootstrap/ext-proc-filter.ts';
import { bootstrapSettings, type BootstrapOptions } from '../../../src/envoy/bootstrap/options.ts';

function filterWith(options: Partial<BootstrapOptions>): object {
  return extProcFilter(
    bootstrapSettings({
      listen: { kind: 'tcp', host: '127.0.0.1', port: 8001 },
      extProc: { kind: 'tcp', host: '127.0.0.1', port: 9002 },
      engineTls: { kind: 'insecure' },
      ...options,
    }),
  );
}

describe('extProcFilter()', () => {
  it('asks for nothing of a request that costs time and nobody reads', () => {
    expect(filterWith({})).not.toHaveProperty('typed_config.request_attributes');
    expect(filterWith({})).not.toHaveProperty('typed_config.metadata_options.forwarding_namespaces');
  });

  it("asks for the client's address where it is wanted", () => {
    expect(filterWith({ clientAddress: true })).toHaveProperty('typed_config.request_attributes', [
      'source.address',
    ]);
  });
});
