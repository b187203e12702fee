/** A gRPC server in Sluice's place that keeps every byte Envoy sends, and answers just enough for a request to be served. */
import { Server, ServerCredentials, type ServerDuplexStream, type ServiceDefinition } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';
import { emptyAnswer, encodeRequestMutation } from '../../src/extproc/codec.ts';
import { decode, encode } from './proto.ts';

const methods = {
  process: '/envoy.service.ext_proc.v3.ExternalProcessor/Process',
  endpoints: '/envoy.service.endpoint.v3.EndpointDiscoveryService/StreamEndpoints',
  accessLog: '/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs',
} as const;
type Method = keyof typeof methods;

export interface WireTap {
  readonly port: number;
  /** The messages of one method so far, in the order in which they came. */
  received(method: Method): readonly Buffer[];
  /** Resolves when a method has so many messages. */
  until(method: Method, count: number): Promise<void>;
  stop(): void;
}

/** Every request is sent to the engine on this port of 127.0.0.1, as exchange `exchange-1`. */
export async function startWireTap(enginePort: number): Promise<WireTap> {
  const messages: Record<Method, Buffer[]> = { process: [], endpoints: [], accessLog: [] };
  let onMessage = (): void => undefined;

  const answer: Record<Method, (bytes: Buffer) => Buffer | undefined> = {
    process: (bytes) => answerOf(decode('envoy.service.ext_proc.v3.ProcessingRequest', bytes), enginePort),
    endpoints: (bytes) =>
      decode('envoy.service.discovery.v3.DiscoveryRequest', bytes)['responseNonce'] === undefined
        ? endpointsAnswer(enginePort)
        : undefined,
    accessLog: () => undefined,
  };
  const server = new Server({ 'grpc.max_receive_message_length': -1 });
  for (const method of ['process', 'endpoints', 'accessLog'] as const) {
    server.addService(rawService(methods[method]), {
      call(call: ServerDuplexStream<Buffer, Buffer>) {
        call.on('data', (bytes: Buffer) => {
          messages[method].push(bytes);
          const reply = answer[method](bytes);
          if (reply !== undefined) call.write(reply);
          onMessage();
        });
        call.on('end', () => call.end());
        call.on('error', () => undefined);
      },
    });
  }
  new HealthImplementation({ 'envoy.service.ext_proc.v3.ExternalProcessor': 'SERVING' }).addToServer(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });

  return {
    port,
    received: (method) => messages[method],
    async until(method, count) {
      while (messages[method].length < count) await new Promise<void>((resolve) => (onMessage = resolve));
    },
    stop: () => server.forceShutdown(),
  };
}

/** Both directions are streams of bytes; a unary reply is never sent, which Envoy does not mind. */
function rawService(path: string): ServiceDefinition {
  const pass = (bytes: Buffer): Buffer => bytes;
  return {
    call: {
      path,
      requestStream: true,
      responseStream: true,
      requestDeserialize: pass,
      requestSerialize: pass,
      responseDeserialize: pass,
      responseSerialize: pass,
    },
  };
}

function answerOf(message: Record<string, unknown>, enginePort: number): Buffer | undefined {
  if ('requestHeaders' in message) return emptyAnswer['request-headers'];
  if ('responseHeaders' in message) return emptyAnswer['response-headers'];
  if ('responseTrailers' in message) return emptyAnswer['response-trailers'];
  if (!('requestBody' in message)) return undefined;
  return encodeRequestMutation('request-body', {
    setHeaders: {},
    removeHeaders: [],
    body: undefined,
    metadata: {
      'envoy.lb': { 'x-gateway-destination-endpoint': `127.0.0.1:${enginePort}` },
      sluice: { exchange: 'exchange-1', model: 'm' },
    },
  });
}

const assignmentType = 'envoy.config.endpoint.v3.ClusterLoadAssignment';

function endpointsAnswer(enginePort: number): Buffer {
  const address = { socketAddress: { address: '127.0.0.1', portValue: enginePort } };
  const assignment = encode(assignmentType, {
    clusterName: 'pods',
    endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }],
  });
  return encode('envoy.service.discovery.v3.DiscoveryResponse', {
    versionInfo: '7',
    resources: [{ type_url: `type.googleapis.com/${assignmentType}`, value: assignment }],
    typeUrl: `type.googleapis.com/${assignmentType}`,
    nonce: 'first',
  });
}
