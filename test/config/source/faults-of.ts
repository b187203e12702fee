/** Faults as tests write them. */
import { ConfigError } from '../../../src/config/config-error.ts';
import { parseConfigSource } from '../../../src/config/source/config-source.ts';

/** Each fault that `read` throws as `line:column path: message`; none where it throws nothing. */
export function faultsOf(read: () => unknown): string[] {
  try {
    read();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.faults.map(({ line, column, path, message }) => `${line}:${column} ${path}: ${message}`);
  }
  return [];
}

export function faultsIn(text: string): string[] {
  return faultsOf(() => parseConfigSource(text, 'f'));
}

/** A ConfigMap whose data begins in line 6. */
export function configMap(...data: string[]): string {
  return ['apiVersion: v1', 'kind: ConfigMap', 'metadata:', '  name: c', 'data:', ...data, ''].join('\n');
}

/** What is said where a file has no configuration. */
export const needed =
  'needed is a ConfigMap with the key routerConfiguration, gatewayConfiguration, schedulerConfiguration or sluice.yaml, a StaticRoute, or the configuration itself';
