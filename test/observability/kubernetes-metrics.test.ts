import { describe, expect, it } from '@jest/globals';
import { Registry } from 'prom-client';
import { registerKubernetesMetrics, type SourceFigures } from '../../src/observability/kubernetes-metrics.ts';

const pods: SourceFigures = {
  source: 'pods in namespace "a"',
  endpoints: 3,
  problem: undefined,
  watches: [{ resource: 'pods in a', lists: 2, events: 5, failures: { unreachable: 1, expired: 2 } }],
};

async function samples(read: () => readonly SourceFigures[]): Promise<string[]> {
  const registry = new Registry();
  registerKubernetesMetrics(registry, 'sluice_')(read);
  // Counters are what they are told each time, and do not add up.
  await registry.metrics();
  return (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('registerKubernetesMetrics()', () => {
  it('shows what is followed, and what came of asking', async () => {
    expect(await samples(() => [pods, { ...pods, source: 'other', problem: 'no', watches: [] }])).toEqual([
      'sluice_kubernetes_source_up{source="pods in namespace \\"a\\""} 1',
      'sluice_kubernetes_source_up{source="other"} 0',
      'sluice_kubernetes_source_endpoints{source="pods in namespace \\"a\\""} 3',
      'sluice_kubernetes_source_endpoints{source="other"} 3',
      'sluice_kubernetes_lists_total{resource="pods in a"} 2',
      'sluice_kubernetes_events_total{resource="pods in a"} 5',
      'sluice_kubernetes_failures_total{resource="pods in a",kind="unreachable"} 1',
      'sluice_kubernetes_failures_total{resource="pods in a",kind="expired"} 2',
    ]);
  });

  it('shows nothing where nothing is followed', async () => {
    expect(await samples(() => [])).toEqual([]);
  });
});
