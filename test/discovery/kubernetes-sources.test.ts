import { describe, expect, it } from '@jest/globals';
import { kubernetesSources } from '../../src/discovery/kubernetes-sources.ts';

const nothing = { pods: [], inferencePools: [], services: [] };

describe('kubernetesSources()', () => {
  it('makes one source of each namespace and selector', () => {
    const entry = {
      namespaces: ['a', 'b'],
      labelSelectors: ['app=vllm', 'app=sglang'],
      port: 'http',
      container: 'engine',
      tls: true,
    };
    const rest = { kind: 'pods', port: 'http', container: 'engine', tls: true };
    expect(kubernetesSources({ ...nothing, pods: [entry] }, 'own')).toEqual([
      { ...rest, namespace: 'a', labelSelector: 'app=vllm' },
      { ...rest, namespace: 'a', labelSelector: 'app=sglang' },
      { ...rest, namespace: 'b', labelSelector: 'app=vllm' },
      { ...rest, namespace: 'b', labelSelector: 'app=sglang' },
    ]);
  });

  it('means all pods of its own namespace where nothing is said', () => {
    const entry = { namespaces: [], labelSelectors: [], port: 8000, tls: false };
    expect(kubernetesSources({ ...nothing, pods: [entry] }, 'own')).toEqual([
      { kind: 'pods', namespace: 'own', labelSelector: '', port: 8000, tls: false },
    ]);
  });

  it('takes pools and Services, in their namespace or its own', () => {
    expect(
      kubernetesSources(
        {
          pods: [],
          inferencePools: [{ name: 'p', tls: false }],
          services: [
            { namespace: 'a', name: 's', port: 'http', tls: true },
            { name: 't', tls: false },
          ],
        },
        'own',
      ),
    ).toEqual([
      { kind: 'pool', namespace: 'own', name: 'p', tls: false },
      { kind: 'service', namespace: 'a', name: 's', port: 'http', tls: true },
      { kind: 'service', namespace: 'own', name: 't', tls: false },
    ]);
  });
});
