/** A real Envoy with the generated bootstrap, in front of scripted ends: what Sluice would answer is the test's to say. */
import { Server, ServerCredentials, type ServerDuplexStream, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { HealthImplementation } from 'grpc-health-check';
import { createServer } from 'node:net';
import path from 'node:path';
import { envoyBootstrap, type BootstrapOptions } from '../../../src/envoy/bootstrap.ts';
import { createEndpointDiscovery } from '../../../src/envoy/eds.ts';
import { createEnvoySupervisor, type EnvoySupervisor } from '../../../src/envoy/supervisor.ts';
import { parseEnvoyVersion } from '../../../src/envoy/version.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { envoyBinary } from '../../support/envoy.ts';
import { FakeEndpoints } from './fake-endpoints.ts';
import { FakeLog } from './fake-log.ts';

/** What the scripted Sluice says to a request. */
export type Verdict =
  | { readonly kind: 'route'; readonly to: string }
  | { readonly kind: 'reply'; readonly status: number; readonly body: string };

export interface SeenRequest {
  readonly path: string;
  readonly headers: ReadonlyMap<string, string>;
}

/** An entry of Envoy's gRPC access log, as far as tests look at it. */
export interface SeenEntry {
  readonly status: number;
  readonly metadata: Record<string, Record<string, unknown>>;
}

export interface EnvoyRig {
  readonly url: string;
  readonly port: number;
  readonly endpoints: FakeEndpoints;
  readonly envoy: EnvoySupervisor;
  readonly log: FakeLog;
  readonly accessLogLines: readonly string[];
  readonly requests: SeenRequest[];
  /** Decides the next requests. */
  decide(verdict: Verdict): void;
  /** The next access log entry that nobody took yet. */
  nextEntry(): Promise<SeenEntry>;
  /** A page of Envoy's admin interface. */
  admin(page: string): Promise<string>;
  stop(): Promise<void>;
}

export interface RigOptions extends Partial<Omit<BootstrapOptions, 'version'>> {
  readonly version?: string;
}

export async function startEnvoyRig({ version = '1.40.0', ...options }: RigOptions = {}): Promise<EnvoyRig> {
  const endpoints = new FakeEndpoints();
  const log = new FakeLog();
  const requests: SeenRequest[] = [];
  const accessLogLines: string[] = [];
  const entries: SeenEntry[] = [];
  let onEntry = (): void => undefined;
  let verdict: Verdict = { kind: 'reply', status: 500, body: 'no verdict' };

  const discovery = createEndpointDiscovery({ snapshot: endpoints.snapshot, subscribe: endpoints.subscribe, log });
  const protos = loadProtos();
  const server = new Server();
  server.addService(discovery.definition, discovery.implementation);
  server.addService(protos.extProc, {
    Process: (call: ServerDuplexStream<any, object>) => {
      call.on('data', (message) => {
        const answer = answerTo(message, verdict, requests);
        if (answer !== undefined) call.write(answer);
      });
      call.on('end', () => call.end());
      call.on('error', () => undefined);
    },
  });
  server.addService(protos.accessLog, {
    StreamAccessLogs: (call: ServerDuplexStream<any, object>) => {
      call.on('data', (message) => {
        for (const entry of message.httpLogs?.logEntry ?? []) entries.push(seenEntry(entry));
        onEntry();
      });
      call.on('end', () => call.end());
      call.on('error', () => undefined);
    },
  });
  new HealthImplementation({ '': 'SERVING', 'envoy.service.ext_proc.v3.ExternalProcessor': 'SERVING' }).addToServer(server);
  const grpcPort = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );

  const port = await freePort();
  const adminPort = await freePort();
  const listen = { kind: 'tcp', host: '127.0.0.1', port } as const;
  const envoy = createEnvoySupervisor(
    { log, clock: systemClock, random: () => 0, onAccessLogLine: (line) => accessLogLines.push(line) },
    {
      bin: await envoyBinary(version),
      listen,
      admin: { kind: 'tcp', host: '127.0.0.1', port: adminPort },
      concurrency: 1,
      bootstrap: (admin) =>
        envoyBootstrap({
          listen,
          admin,
          extProc: { kind: 'tcp', host: '127.0.0.1', port: grpcPort },
          engineTls: { kind: 'insecure' },
          version: parseEnvoyVersion(version),
          healthIntervalMs: 200,
          ...options,
        }),
    },
  );
  await envoy.start();

  return {
    url: `http://127.0.0.1:${port}`,
    port,
    endpoints,
    envoy,
    log,
    accessLogLines,
    requests,
    decide: (next) => (verdict = next),
    async nextEntry() {
      while (entries.length === 0) await new Promise<void>((resolve) => (onEntry = resolve));
      return entries.shift()!;
    },
    admin: async (page) => (await fetch(`http://127.0.0.1:${adminPort}${page}`)).text(),
    async stop() {
      await envoy.stop(5_000);
      discovery.close();
      server.forceShutdown();
    },
  };
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('Cannot find a free port');
  return address.port;
}

/** Asks again until it holds; the test's own time limit is the bound. */
export async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

function answerTo(message: any, verdict: Verdict, requests: SeenRequest[]): object | undefined {
  const { requestHeaders, requestBody, responseHeaders, responseTrailers } = message;
  if (requestHeaders != null) {
    const headers = new Map<string, string>(
      requestHeaders.headers.headers.map(({ key, rawValue }: { key: string; rawValue: Buffer }) => [key, rawValue.toString('latin1')]),
    );
    requests.push({ path: headers.get(':path') ?? '', headers });
    return requestHeaders.endOfStream ? decision('requestHeaders', verdict) : { requestHeaders: {} };
  }
  if (requestBody != null) return decision('requestBody', verdict);
  if (responseHeaders != null) return { responseHeaders: {} };
  if (responseTrailers != null) return { responseTrailers: {} };
  return undefined;
}

function decision(answers: 'requestHeaders' | 'requestBody', verdict: Verdict): object {
  if (verdict.kind === 'reply') {
    return {
      immediateResponse: {
        status: { code: verdict.status },
        headers: { setHeaders: [{ header: { key: 'content-type', rawValue: Buffer.from('application/json') } }] },
        body: Buffer.from(verdict.body),
        details: 'sluice_test',
      },
    };
  }
  const text = (stringValue: string): object => ({ stringValue });
  const struct = (fields: object): object => ({ structValue: { fields } });
  return {
    [answers]: { response: {} },
    dynamicMetadata: {
      fields: {
        'envoy.lb': struct({ 'x-gateway-destination-endpoint': text(verdict.to) }),
        sluice: struct({ exchange: text('exchange-1'), model: text('m') }),
      },
    },
  };
}

function seenEntry(entry: any): SeenEntry {
  const metadata: SeenEntry['metadata'] = {};
  for (const [namespace, struct] of Object.entries<any>(entry.commonProperties?.metadata?.filterMetadata ?? {})) {
    metadata[namespace] = Object.fromEntries(
      Object.entries<any>(struct.fields).map(([key, value]) => [key, value[value.kind]]),
    );
  }
  return { status: entry.response?.responseCode?.value ?? 0, metadata };
}

function loadProtos(): { extProc: ServiceDefinition; accessLog: ServiceDefinition } {
  const definitions = loadSync(
    ['envoy/service/ext_proc/v3/external_processor.proto', 'envoy/service/accesslog/v3/als.proto'],
    { includeDirs: [path.resolve(import.meta.dirname, '../../../proto')], enums: String, oneofs: true, defaults: false },
  );
  return {
    extProc: definitions['envoy.service.ext_proc.v3.ExternalProcessor'] as ServiceDefinition,
    accessLog: definitions['envoy.service.accesslog.v3.AccessLogService'] as ServiceDefinition,
  };
}
