/**
 * Endpoint discovery: tells every connected Envoy who the endpoints are.
 *
 * State of the world: each response is the whole set. An endpoint that is not in it can be chosen by nobody, so this is
 * the list of addresses that Envoy may be sent to at all.
 */
import type { ServerDuplexStream, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { loadSync, type MessageTypeDefinition, type PackageDefinition } from '@grpc/proto-loader';
import path from 'node:path';
import type { Endpoint, EndpointSnapshot } from '../endpoints/endpoint.ts';
import { tlsEndpointMetadata } from './bootstrap/endpoints-cluster.ts';
import type { EnvoyLog } from './log.ts';
import { packageRoot } from '../lib/package-root.ts';

export interface EndpointDiscoveryDeps {
  readonly snapshot: () => EndpointSnapshot;
  /** Calls the listener after every published snapshot; the result removes it. */
  readonly subscribe: (listener: () => void) => () => void;
  readonly log: EnvoyLog;
}

/** A gRPC service to mount on the server that Envoy's `ext_proc` cluster points to. */
export interface EndpointDiscovery {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  /** Streams open now: one per connected Envoy. */
  readonly streams: number;
  /** Ends every stream. Envoys keep what they have and ask again. */
  close(): void;
}

interface DiscoveryRequest {
  readonly versionInfo: string;
  readonly node: { readonly id: string } | null;
  readonly resourceNames: readonly string[];
  readonly responseNonce: string;
  readonly errorDetail: { readonly message: string } | null;
}

interface DiscoveryResponse {
  readonly versionInfo: string;
  /** google.protobuf.Any, whose fields protobufjs does not rename. */
  readonly resources: readonly { readonly type_url: string; readonly value: Buffer }[];
  readonly typeUrl: string;
  readonly nonce: string;
}

type DiscoveryCall = ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>;

const assignmentType = 'envoy.config.endpoint.v3.ClusterLoadAssignment';
const typeUrl = `type.googleapis.com/${assignmentType}`;

/** Creates the service. A response is sent when an Envoy asks, and when membership or health changed. */
export function createEndpointDiscovery({
  snapshot,
  subscribe,
  log,
}: EndpointDiscoveryDeps): EndpointDiscovery {
  const { service, assignment } = loadProtos();
  const open = new Set<DiscoveryCall>();

  function streamEndpoints(call: DiscoveryCall): void {
    let names: readonly string[] = [];
    let sent: { readonly nonce: string; readonly content: string } | undefined;
    let responses = 0;

    const send = (): void => {
      const { generation, endpoints } = snapshot();
      const content = fingerprint(endpoints);
      const nonce = String(++responses);
      sent = { nonce, content };
      call.write({
        versionInfo: String(generation),
        typeUrl,
        nonce,
        resources: names.map((name) => ({
          type_url: typeUrl,
          value: assignment.serialize(clusterLoadAssignment(name, endpoints)),
        })),
      });
    };
    const unsubscribe = subscribe(() => {
      if (sent !== undefined && fingerprint(snapshot().endpoints) !== sent.content) send();
    });

    open.add(call);
    const end = (): void => {
      unsubscribe();
      open.delete(call);
    };
    call.on('data', (request: DiscoveryRequest) => {
      // An answer to a response that a newer one has replaced says nothing.
      if (sent !== undefined && request.responseNonce !== sent.nonce) return;
      if (request.errorDetail !== null) {
        // Sending the same again would be refused again: wait for a change.
        log.error(
          { envoy: request.node?.id, version: String(snapshot().generation), keeps: request.versionInfo },
          `Envoy refused the endpoints: ${request.errorDetail.message.replace(/\s+/g, ' ').trim()}`,
        );
        return;
      }
      const changed = !sameNames(names, request.resourceNames);
      names = request.resourceNames;
      if (sent === undefined || changed) send();
    });
    call.on('end', () => {
      end();
      call.end();
    });
    call.on('cancelled', end);
    call.on('close', end);
    call.on('error', end);
  }

  return {
    definition: service,
    implementation: { StreamEndpoints: streamEndpoints },
    get streams() {
      return open.size;
    },
    close() {
      for (const call of open) call.end();
    },
  };
}

/** Everything of the endpoints that a response says. */
function fingerprint(endpoints: readonly Endpoint[]): string {
  return endpoints
    .map(
      ({ id, tls, hostname, health }) =>
        `${id} ${tls ? 'tls' : ''} ${hostname ?? ''} ${healthStatus(health)}`,
    )
    .join('\n');
}

function sameNames(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name, i) => name === other[i]);
}

/** The cluster's members. Unhealthy ones stay listed, so that what runs on them runs on; no fallback goes there. */
function clusterLoadAssignment(clusterName: string, endpoints: readonly Endpoint[]): object {
  return { clusterName, endpoints: [{ lbEndpoints: endpoints.map(lbEndpoint) }] };
}

function lbEndpoint({ address, port, tls, hostname, health }: Endpoint): object {
  const { namespace, key, value } = tlsEndpointMetadata;
  return {
    endpoint: {
      address: { socketAddress: { address, portValue: port } },
      ...(hostname !== undefined && { hostname, healthCheckConfig: { hostname } }),
    },
    healthStatus: healthStatus(health),
    ...(tls && {
      metadata: { filterMetadata: { [namespace]: { fields: { [key]: { stringValue: value } } } } },
    }),
  };
}

function healthStatus(health: Endpoint['health']): 'UNKNOWN' | 'UNHEALTHY' {
  // What is not known to be unhealthy is left to Envoy's own checks.
  return health.kind === 'unhealthy' ? 'UNHEALTHY' : 'UNKNOWN';
}

interface Protos {
  readonly service: ServiceDefinition;
  readonly assignment: MessageTypeDefinition<object, object>;
}

function loadProtos(): Protos {
  const definitions: PackageDefinition = loadSync(
    ['envoy/service/endpoint/v3/eds.proto', 'envoy/config/endpoint/v3/endpoint.proto'],
    { includeDirs: [path.join(packageRoot(), 'proto')], defaults: true },
  );
  return {
    service: definitions['envoy.service.endpoint.v3.EndpointDiscoveryService'] as ServiceDefinition,
    assignment: definitions[assignmentType] as MessageTypeDefinition<object, object>,
  };
}
