import { describe, expect, it } from '@jest/globals';
import { poolMembers } from '../../src/kube/inference-pool.ts';

describe('poolMembers()', () => {
  it('is the same however the pool is written', () => {
    const pool = (matchLabels: Record<string, string>, ...ports: readonly number[]) =>
      poolMembers({
        metadata: { name: 'p' },
        spec: { selector: { matchLabels }, targetPorts: ports.map((number) => ({ number })) },
      });
    const expected = { labelSelector: 'app=vllm,model=llama,tier=', ports: [8000, 10_000] };
    expect(pool({ app: 'vllm', model: 'llama', tier: '' }, 8000, 10_000)).toEqual(expected);
    expect(pool({ tier: '', model: 'llama', app: 'vllm' }, 10_000, 8000)).toEqual(expected);
  });
});
