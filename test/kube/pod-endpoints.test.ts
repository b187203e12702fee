import { describe, expect, it } from '@jest/globals';
import { podEndpoints, type EnginePort, type Pod } from '../../src/kube/pod-endpoints.ts';

interface Said {
  readonly meta?: object;
  readonly spec?: object;
  readonly status?: object;
}

function pod({ meta, spec, status }: Said = {}): Pod {
  return {
    metadata: { name: 'a', ...meta },
    spec: { containers: [{ name: 'vllm', ports: [{ name: 'http', containerPort: 8000 }] }], ...spec },
    status: {
      phase: 'Running',
      podIP: '10.0.0.1',
      conditions: [
        { type: 'Initialized', status: 'True' },
        { type: 'Ready', status: 'True' },
      ],
      ...status,
    },
  };
}

const numbered: EnginePort = { port: [8000] };

describe('podEndpoints()', () => {
  it('gives an engine for each port', () => {
    expect(podEndpoints(pod(), { port: [8000, 8001] })).toEqual({
      addresses: [
        { address: '10.0.0.1', port: 8000 },
        { address: '10.0.0.1', port: 8001 },
      ],
      leftOut: undefined,
    });
  });

  it.each<[string, Said]>([
    ['is about to end', { meta: { deletionTimestamp: '2026-01-01T00:00:00Z' } }],
    ['has no address', { status: { podIP: undefined } }],
    ['has an empty address', { status: { podIP: '' } }],
    ['is not ready', { status: { conditions: [{ type: 'Ready', status: 'False' }] } }],
    ['is on a node that nobody hears of', { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } }],
    ['has no word of being ready', { status: { conditions: [{ type: 'ContainersReady', status: 'True' }] } }],
    ['has no conditions', { status: { conditions: undefined } }],
    ['has not begun', { status: { phase: 'Pending' } }],
    ['was evicted', { status: { phase: 'Failed' } }],
    ['has ended', { status: { phase: 'Succeeded' } }],
  ])('gives nothing of a pod that %s', (_, said) =>
    expect(podEndpoints(pod(said), numbered)).toBeUndefined(),
  );

  it('gives nothing of a pod of which nothing is known yet', () => {
    expect(podEndpoints({ metadata: { name: 'a' } }, numbered)).toBeUndefined();
  });

  const containers = [
    { name: 'proxy', ports: [{ name: 'http', containerPort: 80 }] },
    {
      name: 'vllm',
      ports: [
        { name: 'metrics', containerPort: 9 },
        { name: 'http', containerPort: 8000 },
      ],
    },
    { name: 'bare' },
  ];

  it.each<[string, EnginePort, Said, number]>([
    ['a name', { port: 'http' }, {}, 8000],
    ['the first of a name', { port: 'http' }, { spec: { containers } }, 80],
    ['a name in a container', { port: 'http', container: 'vllm' }, { spec: { containers } }, 8000],
    [
      'a number, where the container is there',
      { port: [7000], container: 'bare' },
      { spec: { containers } },
      7000,
    ],
    [
      'a name in a sidecar',
      { port: 'http', container: 'engine' },
      {
        spec: {
          initContainers: [
            { name: 'engine', restartPolicy: 'Always', ports: [{ name: 'http', containerPort: 8002 }] },
          ],
        },
      },
      8002,
    ],
    [
      'a TCP port alone',
      { port: 'http' },
      {
        spec: {
          containers: [
            {
              name: 'vllm',
              ports: [
                { name: 'http', containerPort: 1, protocol: 'UDP' },
                { name: 'http', containerPort: 2, protocol: 'TCP' },
              ],
            },
          ],
        },
      },
      2,
    ],
  ])('finds the port by %s', (_, wanted, said, port) => {
    expect(podEndpoints(pod(said), wanted)?.addresses).toEqual([{ address: '10.0.0.1', port }]);
  });

  it.each<[string, EnginePort, Said, string]>([
    ['the name of a port', { port: 'grpc' }, {}, 'pod "a" has no TCP port named "grpc"'],
    [
      'the name of a port in a container',
      { port: 'http', container: 'bare' },
      { spec: { containers } },
      'pod "a" has no TCP port named "http" in container "bare"',
    ],
    ['a container', { port: [8000], container: 'engine' }, {}, 'pod "a" has no container "engine"'],
    [
      'a container that only prepares the pod',
      { port: [8000], container: 'init' },
      { spec: { initContainers: [{ name: 'init' }] } },
      'pod "a" has no container "init"',
    ],
    [
      'containers',
      { port: 'http' },
      { spec: { containers: undefined } },
      'pod "a" has no TCP port named "http"',
    ],
  ])('tells that a ready pod lacks %s', (_, wanted, said, leftOut) => {
    expect(podEndpoints(pod(said), wanted)).toEqual({ addresses: [], leftOut });
  });
});
