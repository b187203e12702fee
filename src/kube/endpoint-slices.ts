/** From the EndpointSlices of a Service to the addresses of the engines behind it. */
import { allEngines, type EngineAddress, type FoundEngines } from './engine-addresses.ts';
import type { KubeObject } from './kube-object.ts';

export interface EndpointSlice extends KubeObject {
  readonly addressType: string;
  readonly endpoints?: readonly SliceEndpoint[] | null;
  readonly ports?: readonly SlicePort[] | null;
}

interface SliceEndpoint {
  readonly addresses: readonly string[];
  /** What is not said about `ready` means yes. */
  readonly conditions?: { readonly ready?: boolean; readonly terminating?: boolean };
}

interface SlicePort {
  /** The name of the Service's port; empty where it has but one. */
  readonly name?: string;
  /** Where the pods listen, which is not the Service's own port. */
  readonly port?: number;
  readonly protocol?: string;
}

/** What is kept of a slice. */
export interface SliceEngines extends FoundEngines {
  readonly family: 'IPv4' | 'IPv6';
}

/** The port to use: its name, or its number at the pods; undefined: the only one that there is. */
export type ServicePort = string | number | undefined;

/**
 * Where new requests may go: endpoints that are ready and not about to end, with the first of their addresses, which are
 * interchangeable by contract. Undefined for slices of names.
 */
export function sliceEngines(slice: EndpointSlice, wanted: ServicePort): SliceEngines | undefined {
  const { addressType: family } = slice;
  if (family !== 'IPv4' && family !== 'IPv6') return undefined;
  const ready = (slice.endpoints ?? []).filter(isReady);
  if (ready.length === 0) return { family, addresses: [], leftOut: undefined };
  const tcp = (slice.ports ?? []).filter(({ protocol = 'TCP' }) => protocol === 'TCP');
  const chosen =
    wanted === undefined ? (tcp.length === 1 ? tcp : []) : tcp.filter((port) => isWanted(port, wanted));
  const port = chosen[0]?.port;
  if (port === undefined) return { family, addresses: [], leftOut: noPort(slice, tcp, wanted) };
  return { family, addresses: ready.flatMap((endpoint) => engineAt(endpoint, port)), leftOut: undefined };
}

/** All slices of a Service. Where it has both families only IPv4 counts: both belong to the same engines. */
export function serviceEngines(slices: Iterable<SliceEngines>): FoundEngines {
  const all = [...slices];
  const ipv4 = all.filter(({ family }) => family === 'IPv4');
  return allEngines(ipv4.some(({ addresses }) => addresses.length > 0) ? ipv4 : all);
}

function isReady({ conditions: { ready = true, terminating = false } = {} }: SliceEndpoint): boolean {
  return ready && !terminating;
}

function isWanted({ name, port }: SlicePort, wanted: string | number): boolean {
  return typeof wanted === 'number' ? port === wanted : name === wanted;
}

function engineAt({ addresses: [address] }: SliceEndpoint, port: number): readonly EngineAddress[] {
  return address === undefined ? [] : [{ address, port }];
}

function noPort({ metadata }: EndpointSlice, tcp: readonly SlicePort[], wanted: ServicePort): string {
  const known = tcp
    .map(({ name = '', port = 0 }) => (name === '' ? String(port) : `${name} (${port})`))
    .join(', ');
  const there = known === '' ? 'it has none' : `there are ${known}`;
  const lack =
    wanted === undefined
      ? 'more or less than one TCP port: name one'
      : `no TCP port ${JSON.stringify(wanted)}`;
  return `EndpointSlice "${metadata.name}" has ${lack}; ${there}`;
}
