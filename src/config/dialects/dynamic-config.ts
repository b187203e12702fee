/** vllm-router's dynamic configuration as its `/health` shows it. */
import type { Written } from '../written.ts';

const fields = [
  'callbacks',
  'decode_model_labels',
  'k8s_label_selector',
  'k8s_namespace',
  'k8s_port',
  'prefill_model_labels',
  'routing_logic',
  'service_discovery',
  'session_key',
  'static_aliases',
  'static_backend_health_check_interval',
  'static_backend_health_check_timeout_seconds',
  'static_backend_health_checks',
  'static_backends',
  'static_model_labels',
  'static_model_types',
  'static_models',
] as const;

/** Every field, null where the file says nothing, sorted by name. */
export function dynamicConfig(root: Written): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    [...new Set([...fields, ...Object.keys(root)])].sort().map((field) => [field, root[field] ?? null]),
  );
}
