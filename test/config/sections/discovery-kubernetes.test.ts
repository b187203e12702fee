import { describe, expect, it } from '@jest/globals';
import { discoveryKubernetesSection } from '../../../src/config/sections/discovery-kubernetes.ts';
import { sectionFaults } from './section-faults.ts';

const faultsOf = (written: object): string[] => sectionFaults(discoveryKubernetesSection, written);

describe('discoveryKubernetesSection', () => {
  it('needs little', () => {
    expect(discoveryKubernetesSection.parse({ pods: [{}] })).toEqual({
      silenceTimeoutMs: 30_000,
      pods: [{ namespaces: [], labelSelectors: [], port: 8000, tls: false }],
      inferencePools: [],
      services: [],
    });
  });

  it('takes all kinds of sources', () => {
    const written = {
      kubeconfig: '/etc/kubeconfig',
      context: 'prod',
      silenceTimeout: '1m',
      pods: [
        { namespaces: ['a', 'b'], labelSelectors: ['app=vllm'], port: 'http', container: 'vllm', tls: true },
      ],
      inferencePools: [{ name: 'llama' }, { namespace: 'a', name: 'qwen' }],
      services: [{ name: 'engines', port: 'http' }, { name: 'others', port: 9000 }, { name: 'third' }],
    };
    const { silenceTimeout, ...same } = written;
    expect(discoveryKubernetesSection.parse(written)).toEqual({
      ...same,
      silenceTimeoutMs: 60_000,
      inferencePools: same.inferencePools.map((pool) => ({ ...pool, tls: false })),
      services: same.services.map((service) => ({ ...service, tls: false })),
    });
    expect(silenceTimeout).toBe('1m');
  });

  it.each<[string, object, string[]]>([
    ['no source', {}, [': names no engines: give pods, inferencePools or services']],
    [
      'a selector that the API server would refuse',
      { pods: [{ labelSelectors: ['app=vllm', 'app:sglang'] }] },
      [
        'pods.0.labelSelectors.1: "app:sglang" is no label selector: write it like app=vllm, app in (a, b), or !app, with commas between',
      ],
    ],
    [
      'a namespace that there cannot be',
      { pods: [{ namespaces: ['Team A'] }] },
      ['pods.0.namespaces.0: "Team A" is not the name of a namespace'],
    ],
    [
      'a port out of range',
      { pods: [{ port: 70_000 }] },
      ['pods.0.port: 70000 is too great: the greatest is 65535'],
    ],
    [
      'a number in quotes as a port',
      { services: [{ name: 'a', port: '8000' }] },
      ['services.0.port: "8000" is not a whole number from 1 to 65535: remove the quotes'],
    ],
    [
      'a port with a name that there cannot be',
      { services: [{ name: 'a', port: 'HTTP_port' }] },
      [
        'services.0.port: "HTTP_port" is not the name of a port: up to 15 lower-case letters, digits and hyphens',
      ],
    ],
    ['a pool without a name', { inferencePools: [{}] }, ['inferencePools.0.name: is missing']],
    [
      'a name that there cannot be',
      { inferencePools: [{ name: 'a/b' }] },
      ['inferencePools.0.name: "a/b" is not a name that a Kubernetes object can have'],
    ],
    [
      'a timeout that is too short',
      { pods: [{}], silenceTimeout: '1s' },
      ['silenceTimeout: silenceTimeout must be 2s or more'],
    ],
  ])('refuses %s', (_, written, faults) => expect(faultsOf(written)).toEqual(faults));
});
