/** The gRPC side of a rig: ext_proc that answers as it was told, endpoint discovery, and the access log. */
import { Server, ServerCredentials, type ServerDuplexStream, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { HealthImplementation } from 'grpc-health-check';
import path from 'node:path';
import { createEndpointDiscovery } from '../../../src/envoy/eds.ts';
import type { FakeEndpoints } from './fake-endpoints.ts';
import type { FakeLog } from './fake-log.ts';

/** What is said to a request. */
export type Verdict =
  | { readonly kind: 'route'; readonly to: string }
  | { readonly kind: 'reply'; readonly status: number; readonly body: string };

/** An entry of Envoy's gRPC access log, as far as tests look at it. */
export interface SeenEntry {
  readonly status: number;
  /** Values by namespace and key. */
  readonly metadata: Readonly<Record<string, Readonly<Record<string, string | number>>>>;
}

export interface ScriptedSluice {
  readonly port: number;
  /** Headers of every request that was shown, pseudo-headers included. */
  readonly requests: ReadonlyMap<string, string>[];
  decide(verdict: Verdict): void;
  /** The next access log entry that nobody took yet. */
  nextEntry(): Promise<SeenEntry>;
  stop(): void;
}

interface ProcessingRequest {
  readonly requestHeaders?: {
    readonly headers: { readonly headers: readonly { readonly key: string; readonly rawValue: Buffer }[] };
    readonly endOfStream?: boolean;
  };
  readonly requestBody?: object;
  readonly responseHeaders?: object;
  readonly responseTrailers?: object;
}

interface ProtoValue {
  readonly stringValue?: string;
  readonly numberValue?: number;
}

interface LogEntry {
  readonly commonProperties?: {
    readonly metadata?: {
      readonly filterMetadata?: Readonly<
        Record<string, { readonly fields?: Readonly<Record<string, ProtoValue>> }>
      >;
    };
  };
  readonly response?: { readonly responseCode?: { readonly value?: number } };
}

interface LogMessage {
  readonly httpLogs?: { readonly logEntry?: readonly LogEntry[] };
}

export async function startScriptedSluice(endpoints: FakeEndpoints, log: FakeLog): Promise<ScriptedSluice> {
  const requests: ReadonlyMap<string, string>[] = [];
  const entries: SeenEntry[] = [];
  let onEntry = (): void => undefined;
  let verdict: Verdict = {
    kind: 'reply',
    status: 500,
    body: '{"error":{"message":"the test said nothing"}}',
  };

  const { extProc, accessLog } = loadServices();
  const discovery = createEndpointDiscovery({
    snapshot: endpoints.snapshot,
    subscribe: endpoints.subscribe,
    log,
  });
  const server = new Server();
  server.addService(discovery.definition, discovery.implementation);
  server.addService(extProc, {
    Process: (call: ServerDuplexStream<ProcessingRequest, object>) => {
      serve(call, (message) => {
        if (message.requestHeaders !== undefined) requests.push(headersOf(message.requestHeaders));
        const answer = answerTo(message, verdict);
        if (answer !== undefined) call.write(answer);
      });
    },
  });
  server.addService(accessLog, {
    StreamAccessLogs: (call: ServerDuplexStream<LogMessage, object>) => {
      serve(call, (message) => {
        entries.push(...(message.httpLogs?.logEntry ?? []).map(seenEntry));
        onEntry();
      });
    },
  });
  new HealthImplementation({ 'envoy.service.ext_proc.v3.ExternalProcessor': 'SERVING' }).addToServer(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });

  return {
    port,
    requests,
    decide(next) {
      verdict = next;
    },
    async nextEntry() {
      for (;;) {
        const entry = entries.shift();
        if (entry !== undefined) return entry;
        await new Promise<void>((resolve) => (onEntry = resolve));
      }
    },
    stop() {
      discovery.close();
      server.forceShutdown();
    },
  };
}

function serve<Message>(
  call: ServerDuplexStream<Message, object>,
  onMessage: (message: Message) => void,
): void {
  call.on('data', onMessage);
  call.on('end', () => call.end());
  call.on('error', () => undefined);
}

function headersOf({
  headers,
}: NonNullable<ProcessingRequest['requestHeaders']>): ReadonlyMap<string, string> {
  return new Map(headers.headers.map(({ key, rawValue }) => [key, rawValue.toString('latin1')]));
}

function answerTo(message: ProcessingRequest, verdict: Verdict): object | undefined {
  if (message.requestHeaders?.endOfStream === true) return decision('requestHeaders', verdict);
  if (message.requestHeaders !== undefined) return { requestHeaders: {} };
  if (message.requestBody !== undefined) return decision('requestBody', verdict);
  if (message.responseHeaders !== undefined) return { responseHeaders: {} };
  if (message.responseTrailers !== undefined) return { responseTrailers: {} };
  return undefined;
}

function decision(answers: 'requestHeaders' | 'requestBody', verdict: Verdict): object {
  if (verdict.kind === 'reply') {
    return {
      immediateResponse: {
        status: { code: verdict.status },
        headers: {
          setHeaders: [{ header: { key: 'content-type', rawValue: Buffer.from('application/json') } }],
        },
        body: Buffer.from(verdict.body),
        details: 'sluice_test',
      },
    };
  }
  const struct = (fields: Record<string, string>): object => ({
    structValue: {
      fields: Object.fromEntries(Object.entries(fields).map(([key, stringValue]) => [key, { stringValue }])),
    },
  });
  return {
    [answers]: { response: {} },
    dynamicMetadata: {
      fields: {
        'envoy.lb': struct({ 'x-gateway-destination-endpoint': verdict.to }),
        sluice: struct({ exchange: 'exchange-1', model: 'm' }),
      },
    },
  };
}

function seenEntry({ commonProperties, response }: LogEntry): SeenEntry {
  const metadata: Record<string, Record<string, string | number>> = {};
  for (const [namespace, { fields = {} }] of Object.entries(
    commonProperties?.metadata?.filterMetadata ?? {},
  )) {
    metadata[namespace] = Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [key, value.stringValue ?? value.numberValue ?? '']),
    );
  }
  return { status: response?.responseCode?.value ?? 0, metadata };
}

function loadServices(): { readonly extProc: ServiceDefinition; readonly accessLog: ServiceDefinition } {
  const definitions = loadSync(
    ['envoy/service/ext_proc/v3/external_processor.proto', 'envoy/service/accesslog/v3/als.proto'],
    { includeDirs: [path.resolve(import.meta.dirname, '../../../proto')] },
  );
  return {
    extProc: definitions['envoy.service.ext_proc.v3.ExternalProcessor'] as ServiceDefinition,
    accessLog: definitions['envoy.service.accesslog.v3.AccessLogService'] as ServiceDefinition,
  };
}
