/** The `k8s_*` fields of vllm-router: which pods are engines. */
import { shown } from '../describe-issue.ts';
import type { Written } from '../written.ts';
import type { Finding } from './dialect.ts';
import { commaList, notAList, type ReadField } from './vllm-router-values.ts';

/** The field, and its name in an item of `discovery.kubernetes.pods`. */
const names: Readonly<Record<string, string>> = {
  k8s_port: 'port',
  k8s_namespace: 'namespaces',
  k8s_label_selector: 'labelSelectors',
};

export const podFields: readonly string[] = Object.keys(names);

/** The item of `discovery.kubernetes.pods` that they stand for, with vllm-router's defaults. */
export function podsFromFields(value: ReadField): Written {
  const selector = value('k8s_label_selector');
  return {
    namespaces: commaList(value('k8s_namespace') ?? 'default') ?? [],
    labelSelectors: selector === undefined || selector === '' ? [] : [selector],
    port: value('k8s_port') ?? 8000,
  };
}

/** What is wrong with them in ways that the item does not show, at paths that begin with the field. */
export function podFaults(value: ReadField): Finding[] {
  const namespace = value('k8s_namespace');
  const items = namespace === undefined ? undefined : commaList(namespace);
  if (namespace !== undefined && items === undefined) return [notAList(['k8s_namespace'], namespace)];
  if (items?.length !== 0) return [];
  return [{ path: ['k8s_namespace'], message: `${shown(namespace)} names no namespace` }];
}

/** The field that says what is under this name in the item. */
export function podFieldInFile(name: PropertyKey | undefined): string | undefined {
  return podFields.find((field) => names[field] === name);
}
