/** Envoy's whole configuration, as data: what `sluice router` runs and `sluice envoy-config` prints. */
import { envoyAddress } from './address.ts';
import { endpointsClusterConfig } from './bootstrap/endpoints-cluster.ts';
import { listener } from './bootstrap/listener.ts';
import { bootstrapSettings, type BootstrapOptions, type BootstrapSettings } from './bootstrap/options.ts';
import { schedulerClusterConfig } from './bootstrap/scheduler-cluster.ts';
import { duration, extension } from './bootstrap/typed.ts';

export type { BootstrapOptions } from './bootstrap/options.ts';

/** Builds the bootstrap; it serializes to JSON and YAML as it is. Pure: the same options give the same configuration. */
export function envoyBootstrap(options: BootstrapOptions): object {
  const settings = bootstrapSettings(options);
  return {
    node: { id: 'sluice-envoy', cluster: 'sluice' },
    admin: { address: envoyAddress(settings.admin) },
    layered_runtime: { layers: [{ name: 'sluice', static_layer: runtime }] },
    overload_manager: overloadManager(settings),
    static_resources: {
      listeners: [listener(settings)],
      clusters: [schedulerClusterConfig(settings), endpointsClusterConfig(settings)],
    },
  };
}

const runtime = {
  // Half-close ext_proc streams and wait for our end of it, instead of resetting them: a reset per exchange looks like
  // an attack to an HTTP/2 server.
  'envoy.reloadable_features.ext_proc_graceful_grpc_close': true,
  'envoy.filters.http.ext_proc.remote_close_timeout_milliseconds': 1000,
};

/** Refuses work before memory runs out. Idle timers are left alone: long silence is normal here. */
function overloadManager({ maxHeapBytes, maxConnections }: BootstrapSettings): object {
  const heap = 'envoy.resource_monitors.fixed_heap';
  return {
    refresh_interval: duration(250),
    resource_monitors: [
      extension(heap, 'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig', {
        max_heap_size_bytes: maxHeapBytes,
      }),
      extension(
        'envoy.resource_monitors.global_downstream_max_connections',
        'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
        { max_active_downstream_connections: maxConnections },
      ),
    ],
    actions: [
      { name: 'envoy.overload_actions.shrink_heap', triggers: [{ name: heap, threshold: { value: 0.9 } }] },
      {
        name: 'envoy.overload_actions.stop_accepting_requests',
        triggers: [{ name: heap, threshold: { value: 0.97 } }],
      },
    ],
  };
}
