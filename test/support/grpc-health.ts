/** Sluice's gRPC health service as Envoy and Kubernetes ask it. */
import { Client, credentials } from '@grpc/grpc-js';
import type { Gateway } from './gateway.ts';

/** What the service of a gateway says of a name. */
export function grpcHealth(gateway: Pick<Gateway, 'lines'>, name: string): Promise<string> {
  const address = gateway.lines.find((line) => 'grpc' in line)?.['grpc'];
  if (typeof address !== 'string') throw new Error('Sluice has not said where it serves Envoy');
  return grpcHealthAt(address, name);
}

/** What the service at an address says of a name: `SERVING`, `NOT_SERVING` or another word of the protocol. */
export function grpcHealthAt(address: string, name: string): Promise<string> {
  // A connection of its own: one shared with the client before it may just be closing.
  const client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      '/grpc.health.v1.Health/Check',
      (service: string) => Buffer.from([0x0a, service.length, ...Buffer.from(service)]),
      // HealthCheckResponse {status = 1}; the default is not sent.
      (response) => statuses[response[1] ?? 0] ?? 'no such status',
      name,
      (error, status) => {
        client.close();
        if (error === null) resolve(status ?? '');
        else reject(error);
      },
    );
  });
}

const statuses = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
