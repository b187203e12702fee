import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, credentials, Server, ServerCredentials, type ClientDuplexStream } from '@grpc/grpc-js';
import { createEndpointDiscovery, type EndpointDiscovery } from '../../src/envoy/eds.ts';
import { decode, encode } from '../support/proto.ts';
import { eventually } from '../support/eventually.ts';
import { startEnvoyRig } from './support/envoy-rig.ts';
import { FakeEndpoints } from './support/fake-endpoints.ts';
import { FakeLog } from './support/fake-log.ts';

interface Response {
  readonly versionInfo: string;
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly { readonly type_url: string; readonly value: Buffer }[];
}

/** An Envoy's side of a stream: asks, and reads what comes in order. */
class FakeEnvoy {
  readonly stream: ClientDuplexStream<object, Response>;
  readonly ended: Promise<void>;
  readonly #responses: Response[] = [];
  #onResponse = (): void => undefined;

  constructor(port: number) {
    this.stream = new Client(`127.0.0.1:${port}`, credentials.createInsecure()).makeBidiStreamRequest(
      '/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints',
      (request: object) => encode('envoy.service.discovery.v3.DiscoveryRequest', request),
      (bytes: Buffer) => decode('envoy.service.discovery.v3.DiscoveryResponse', bytes) as unknown as Response,
    );
    this.stream.on('data', (response: Response) => {
      this.#responses.push(response);
      this.#onResponse();
    });
    this.stream.on('error', () => undefined);
    this.ended = new Promise((resolve) => this.stream.once('status', () => resolve()));
  }

  get unread(): number {
    return this.#responses.length;
  }

  ask(fields: { nonce?: string; version?: string; error?: string; names?: string[] } = {}): void {
    this.stream.write({
      versionInfo: fields.version ?? '',
      responseNonce: fields.nonce ?? '',
      resourceNames: fields.names ?? ['pods'],
      node: { id: 'envoy-1' },
      ...(fields.error !== undefined && { errorDetail: { code: 13, message: fields.error } }),
    });
  }

  async next(): Promise<Response> {
    for (;;) {
      const response = this.#responses.shift();
      if (response !== undefined) return response;
      await new Promise<void>((resolve) => (this.#onResponse = resolve));
    }
  }

  /** Reads the next response, accepts it, and gives its first resource. */
  async accept(): Promise<Record<string, unknown>> {
    const { nonce, versionInfo, resources } = await this.next();
    this.ask({ nonce, version: versionInfo });
    return decode('envoy.config.endpoint.v3.ClusterLoadAssignment', resources[0]!.value);
  }
}

describe('createEndpointDiscovery()', () => {
  let endpoints: FakeEndpoints;
  let log: FakeLog;
  let discovery: EndpointDiscovery;
  let server: Server;
  let envoy: FakeEnvoy;

  beforeEach(async () => {
    endpoints = new FakeEndpoints();
    log = new FakeLog();
    discovery = createEndpointDiscovery({
      snapshot: endpoints.snapshot,
      subscribe: endpoints.subscribe,
      log,
    });
    server = new Server();
    server.addService(discovery.definition, discovery.implementation);
    const port = await new Promise<number>((resolve) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, bound) => resolve(bound));
    });
    envoy = new FakeEnvoy(port);
  });

  afterEach(() => {
    envoy.stream.cancel();
    server.forceShutdown();
  });

  it('answers the first request with every endpoint, its health, name and transport', async () => {
    endpoints.publish(
      { port: 1 },
      { address: '::1', port: 2, health: { kind: 'unhealthy', reason: 'refused', sinceMs: 0 } },
      { port: 3, tls: true, hostname: 'engine.test' },
    );
    envoy.ask();
    expect(await envoy.accept()).toEqual({
      clusterName: 'pods',
      endpoints: [
        {
          lbEndpoints: [
            {
              endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue: 1 } } },
              healthStatus: 'UNKNOWN',
            },
            {
              endpoint: { address: { socketAddress: { address: '::1', portValue: 2 } } },
              healthStatus: 'UNHEALTHY',
            },
            {
              endpoint: {
                address: { socketAddress: { address: '127.0.0.1', portValue: 3 } },
                hostname: 'engine.test',
                healthCheckConfig: { hostname: 'engine.test' },
              },
              healthStatus: 'UNKNOWN',
              metadata: {
                filterMetadata: {
                  'envoy.transport_socket_match': { fields: { tls: { stringValue: 'true' } } },
                },
              },
            },
          ],
        },
      ],
    });
  });

  it('calls the cluster what Envoy calls it, and the version what the snapshot is', async () => {
    endpoints.publish({ port: 1 });
    envoy.ask({ names: ['engines', 'others'] });
    const { resources, versionInfo, typeUrl } = await envoy.next();
    expect(versionInfo).toBe('1');
    expect(typeUrl).toBe('type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment');
    expect(
      resources.map(
        ({ value }) => decode('envoy.config.endpoint.v3.ClusterLoadAssignment', value)['clusterName'],
      ),
    ).toEqual(['engines', 'others']);
  });

  it('sends again when members or their health change, and not for other snapshots', async () => {
    endpoints.publish({ port: 1 });
    envoy.ask();
    await envoy.accept();
    endpoints.publish({ port: 1 });
    endpoints.publish({ port: 1, health: { kind: 'unhealthy', reason: 'first', sinceMs: 0 } });
    endpoints.publish({ port: 1, health: { kind: 'unhealthy', reason: 'second', sinceMs: 1 } });
    endpoints.publish({ port: 1 }, { port: 2 });
    expect((await envoy.next()).versionInfo).toBe('3');
    expect((await envoy.next()).versionInfo).toBe('5');
    expect(envoy.unread).toBe(0);
  });

  it('says why Envoy refused a set, and waits for the next change', async () => {
    endpoints.publish({ port: 1 });
    envoy.ask();
    const { nonce } = await envoy.next();
    envoy.ask({ nonce, error: 'malformed\nIP address' });
    const { level, fields, message } = await log.waitFor('refused');
    expect(level).toBe('error');
    expect(message).toBe('Envoy refused the endpoints: malformed IP address');
    expect(fields).toMatchObject({ envoy: 'envoy-1', version: '1' });
    expect(envoy.unread).toBe(0);
    endpoints.publish({ port: 2 });
    expect((await envoy.next()).versionInfo).toBe('2');
  });

  it('takes an answer to an older response for nothing', async () => {
    endpoints.publish({ port: 1 });
    envoy.ask();
    const first = await envoy.next();
    endpoints.publish({ port: 2 });
    const second = await envoy.next();
    envoy.ask({ nonce: first.nonce, error: 'late' });
    envoy.ask({ nonce: second.nonce, names: ['pods', 'more'] });
    expect((await envoy.next()).resources).toHaveLength(2);
    expect(log.messages('error')).toEqual([]);
  });

  it.each([
    ['half-closes', (stream: FakeEnvoy['stream']) => stream.end()],
    ['breaks off', (stream: FakeEnvoy['stream']) => stream.cancel()],
  ])('forgets an Envoy that %s', async (_, leave) => {
    envoy.ask();
    await envoy.next();
    expect(discovery.streams).toBe(1);
    expect(endpoints.listeners).toBe(1);
    leave(envoy.stream);
    await envoy.ended;
    await eventually(() => discovery.streams === 0);
    expect(endpoints.listeners).toBe(0);
  });

  it('lets go of every Envoy when it is closed', async () => {
    envoy.ask();
    await envoy.next();
    discovery.close();
    await envoy.ended;
    await eventually(() => discovery.streams === 0);
    expect(endpoints.listeners).toBe(0);
  });

  it("keeps the real Envoy's view of members and health the same as ours", async () => {
    const rig = await startEnvoyRig({ healthPath: '/never-asked' });
    try {
      rig.endpoints.publish(
        { port: 1 },
        { port: 2, health: { kind: 'unhealthy', reason: 'down', sinceMs: 0 } },
      );
      await rig.untilKnown('127.0.0.1:1', '127.0.0.1:2');
      const clusters = await rig.admin('/clusters');
      expect(clusters).toMatch(/^pods::127\.0\.0\.1:2::health_flags::.*\/failed_eds_health/m);
      expect(clusters).not.toMatch(/^pods::127\.0\.0\.1:1::health_flags::.*\/failed_eds_health/m);
      rig.endpoints.publish({ port: 2 });
      await rig.untilKnown('127.0.0.1:2');
      await eventually(async () => !(await rig.admin('/clusters')).includes('failed_eds_health'));
    } finally {
      await rig.stop();
    }
  }, 20_000);
});
