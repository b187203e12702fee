import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { createRegistry } from '../../src/scheduling/registry.ts';

const registry = createRegistry();

describe('createRegistry()', () => {
  it('find() tells kinds of the same name apart', () => {
    expect(registry.find('filter', 'least-request')?.whenEmpty).toBe('saturated');
    expect(registry.find('scorer', 'least-request')?.kind).toBe('scorer');
    expect(registry.find('picker', 'least-request')).toBeUndefined();
  });

  it('find() knows aliases', () => {
    expect(registry.find('scorer', 'gpu-usage')?.type).toBe('kv-cache');
  });

  it('named() finds all kinds', () => {
    expect(registry.named('least-request').map(({ kind }) => kind)).toEqual(['filter', 'scorer']);
    expect(registry.named('nonsense')).toEqual([]);
  });

  it('names() has names and aliases, of one kind or of all, each once', () => {
    expect(registry.names('filter')).toEqual(['least-request', 'lora-affinity']);
    expect(registry.names()).toEqual([
      'least-request',
      'lora-affinity',
      'kv-cache',
      'gpu-usage',
      'least-latency',
      'prefix-cache',
      'session-affinity',
      'round-robin',
      'random',
      'max-score',
    ]);
  });

  it('definitions describe every plugin and parameter, and each parameter has a default', () => {
    for (const { type, description, params } of registry.definitions) {
      expect([type, description]).toEqual([type, expect.stringMatching(/^[A-Z].+\.$/)]);
      expect(params.safeParse({}).success).toBe(true);
      if (!(params instanceof z.ZodObject)) throw new Error(`${type}: parameters are not an object`);
      for (const [name, schema] of Object.entries(params.shape)) {
        const text = schema instanceof z.ZodType ? schema.description : undefined;
        expect([type, name, text]).toEqual([type, name, expect.stringMatching(/\.$/)]);
      }
    }
  });

  it('definitions have one plugin for each kind and name', () => {
    const names = registry.definitions.flatMap(({ kind, type, aliases }) =>
      [type, ...(aliases ?? [])].map((name) => `${kind} ${name}`),
    );
    expect(new Set(names).size).toBe(names.length);
  });
});
