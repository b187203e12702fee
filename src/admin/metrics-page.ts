/** `/metrics` for Prometheus. */
import type { AdminRoute } from './http.ts';

/** What the page needs of the metrics. */
export interface MetricsSource {
  readonly contentType: string;
  render(): Promise<string>;
}

/** Creates the page. */
export function createMetricsRoute(metrics: MetricsSource): AdminRoute {
  return {
    path: '/metrics',
    description: 'Metrics in the Prometheus text format',
    answer: async () => ({ status: 200, body: await metrics.render(), contentType: metrics.contentType }),
  };
}
