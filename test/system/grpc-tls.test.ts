import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Client, credentials } from '@grpc/grpc-js';
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from 'node:tls';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { parseSocketAddress } from '../../src/envoy/address.ts';
import { createEnvoySupervisor, type EnvoySupervisor } from '../../src/envoy/supervisor.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { FakeLog } from '../envoy/support/fake-log.ts';
import { makeCertificate, type Certificate } from '../support/certificates.ts';
import { chat, chatBody } from '../support/chat.ts';
import { startSluice, type Child } from '../support/child.ts';
import { editBootstrap, fullDuplex, withoutAccessLog } from '../support/edit-bootstrap.ts';
import { envoyBinary } from '../support/envoy.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { responseOf, startRequest, type Reply } from '../support/http-client.ts';
import { endpoints, sample } from '../support/pages.ts';

const first = makeCertificate('IP:127.0.0.1');
const second = makeCertificate('IP:127.0.0.1');
const misnamed = makeCertificate('DNS:localhost,IP:127.0.0.2');

/** What to undo after all tests, last first. */
const cleanUp: (() => Promise<unknown>)[] = [];
let engines: readonly SimulatedEngine[];
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
  cleanUp.push(() => rm(folder, { recursive: true }));
  engines = [
    await startSimulatedEngine({ model: 'm', speed: 20 }),
    await startSimulatedEngine({ model: 'm', speed: 20 }),
  ];
});
afterAll(async () => {
  for (const clean of cleanUp.reverse()) await clean();
  await Promise.all(engines.map((engine) => engine.stop()));
});

interface Rig {
  /** Where clients connect. */
  readonly port: number;
  readonly grpcPort: number;
  readonly sluice: Child;
  readonly envoy: EnvoySupervisor;
  readonly adminUrl: string;
  /** A counter of Envoy's about its connections to Sluice. */
  stat(name: string): Promise<number>;
}

/** `sluice serve` as a process, and an Envoy with what `sluice envoy-config` prints, changed where a test says so. */
async function startRig(
  host: string,
  serveArgs: readonly string[],
  envoyArgs: readonly string[],
  edit: (bootstrap: object, grpcPort: number) => object | Promise<object> = (bootstrap) => bootstrap,
): Promise<Rig> {
  const [port, grpcPort, envoyAdmin] = [await freePort(), await freePort(), await freePort()];
  const backends = engines.map(({ url }) => url).join(',');
  const sluice = startSluice([
    ...['serve', '--grpc-listen', `127.0.0.1:${grpcPort}`, '--static-backends', backends],
    ...['--admin-port', '0', '--log-format', 'json', ...serveArgs],
  ]);
  cleanUp.push(() => sluice.end());
  const { admin: adminUrl } = JSON.parse(await sluice.line(/"Serving Envoy at/)) as { admin: string };

  const printing = startSluice([
    ...['envoy-config', '--format', 'json', '--listen', `127.0.0.1:${port}`, '--access-log', 'off'],
    ...['--ext-proc', `${host}:${grpcPort}`, '--admin-port', String(envoyAdmin), ...envoyArgs],
  ]);
  await printing.exited;
  const bootstrap = await edit(JSON.parse(printing.lines.join('\n')) as object, grpcPort);
  const envoy = createEnvoySupervisor(
    { log: new FakeLog(), clock: systemClock, random: () => 0 },
    {
      bin: await envoyBinary(),
      listen: parseSocketAddress(`127.0.0.1:${port}`),
      admin: parseSocketAddress(`127.0.0.1:${envoyAdmin}`),
      concurrency: 1,
      bootstrap: () => bootstrap,
    },
  );
  cleanUp.push(() => envoy.stop(2000));
  await envoy.start();
  return {
    ...{ port, grpcPort, sluice, envoy, adminUrl },
    async stat(name) {
      const page = await fetch(`http://127.0.0.1:${envoyAdmin}/stats?filter=^cluster.ext_proc.${name}$`);
      return Number(/: (\d+)/.exec(await page.text())?.[1]);
    },
  };
}

/** An Envoy that serves soon, whether or not Sluice tells it of endpoints. */
function impatient(bootstrap: object): object {
  return replaced(bootstrap, '"initial_fetch_timeout":"5s"', '"initial_fetch_timeout":"0.3s"');
}

/** A copy with another text in place of one that must be there. */
function replaced(bootstrap: object, text: string, other: string): object {
  const before = JSON.stringify(bootstrap);
  const after = before.replace(text, other);
  expect(after).not.toBe(before);
  return JSON.parse(after) as object;
}

/** A Secret as the kubelet mounts it: its keys are links into a folder that is swapped whole. */
async function mountSecret(
  mount: string,
): Promise<{ swap(pair: Pick<Certificate, 'cert' | 'key'>): Promise<void> }> {
  await symlink('..data/tls.crt', path.join(mount, 'tls.crt'));
  await symlink('..data/tls.key', path.join(mount, 'tls.key'));
  let version = 0;
  return {
    async swap({ cert, key }) {
      const name = `..version-${++version}`;
      await mkdir(path.join(mount, name));
      await writeFile(path.join(mount, name, 'tls.crt'), cert);
      await writeFile(path.join(mount, name, 'tls.key'), key);
      await symlink(name, path.join(mount, '..data_tmp'));
      await rename(path.join(mount, '..data_tmp'), path.join(mount, '..data'));
    },
  };
}

/** What somebody who connects now is shown. */
function shownCertificate(port: number): Promise<X509Certificate> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    socket.once('error', reject).once('secureConnect', () => {
      resolve(socket.getPeerX509Certificate()!);
      socket.destroy();
    });
  });
}

async function shownFingerprint(port: number): Promise<string> {
  return (await shownCertificate(port)).fingerprint256;
}

function fingerprint({ cert }: Certificate): string {
  return new X509Certificate(cert).fingerprint256;
}

/** What the health service says of ext_proc, to one who trusts these certificates. */
function healthOf(port: number, trusted: string): Promise<Buffer | undefined> {
  const service = 'envoy.service.ext_proc.v3.ExternalProcessor';
  const client = new Client(`127.0.0.1:${port}`, credentials.createSsl(Buffer.from(trusted)));
  const bytes = (message: Buffer): Buffer => message;
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      '/grpc.health.v1.Health/Check',
      bytes,
      bytes,
      Buffer.from([0x0a, service.length, ...Buffer.from(service)]),
      (error, reply) => {
        client.close();
        if (error === null) resolve(reply);
        else reject(error);
      },
    );
  });
}

const serving = Buffer.from([0x08, 1]);

/** Sends completions, every second one streamed, eight at a time, for as long as `goOn` says; none may fail. */
async function load(rig: Rig, goOn: (sent: number) => boolean): Promise<number> {
  let sent = 0;
  const workers = Array.from({ length: 8 }, async () => {
    while (goOn(sent)) {
      const stream = sent++ % 2 === 1;
      expectServed(await chat(rig, { stream }), stream);
    }
  });
  await Promise.all(workers);
  return sent;
}

function expectServed({ status, body }: Reply, stream: boolean): void {
  expect([status, body]).toEqual([
    200,
    stream ? expect.stringMatching(/data: \[DONE\]\n\n$/) : expect.stringContaining('"completion_tokens":2'),
  ]);
}

/** Resolves once no exchange is left, and no endpoint has one in flight. */
async function untilSettled(rig: Rig): Promise<void> {
  await eventually(async () => (await sample(rig, 'sluice_exchanges_active')) === 0);
  const views = await endpoints({
    admin: async (page) => (await fetch(rig.adminUrl + page)).json(),
  });
  expect(views.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
}

describe('a certificate in a Secret that is mounted', () => {
  let rig: Rig;
  let caFile: string;
  let secret: Awaited<ReturnType<typeof mountSecret>>;
  beforeAll(async () => {
    caFile = path.join(folder, 'ca.crt');
    await writeFile(caFile, first.cert + second.cert);
    const mount = path.join(folder, 'tls');
    await mkdir(mount);
    secret = await mountSecret(mount);
    await secret.swap(first);
    rig = await startRig(
      '127.0.0.1',
      ['--grpc-tls-cert', path.join(mount, 'tls.crt'), '--grpc-tls-key', path.join(mount, 'tls.key')],
      ['--ext-proc-tls-ca', caFile],
      impatient,
    );
    await eventually(async () => (await chat(rig)).status === 200);
  }, 60_000);
  afterEach(() => untilSettled(rig));

  /** Another Envoy in place of the one that runs, which trusts what it finds now. */
  async function restartEnvoy(trusted: Certificate): Promise<void> {
    await writeFile(caFile, trusted.cert);
    const { pid, restarts } = rig.envoy;
    process.kill(pid!, 'SIGKILL');
    await eventually(() => rig.envoy.restarts > restarts && rig.envoy.ready);
  }

  it('serves Envoy: exchanges, endpoints, health and the access log', async () => {
    expect(await load(rig, (sent) => sent < 200)).toBeGreaterThanOrEqual(200);
    expect(await healthOf(rig.grpcPort, first.cert)).toEqual(serving);
    expect(await rig.stat('upstream_cx_destroy_remote')).toBe(0);
    expect(await rig.stat('ssl.handshake')).toBeGreaterThan(0);
    expect(await rig.stat('ssl.connection_error')).toBe(0);
    const page = await (await fetch(`${rig.adminUrl}/metrics`)).text();
    expect(page).toMatch(/entries_total\{result="matched"\} [1-9]/);
  }, 30_000);

  it('is swapped under load without a failed request', async () => {
    // Longer than the rest takes: it begins before the swap, and goes on after it.
    const outgoing = startRequest(rig.port, { body: chatBody({ stream: true, tokens: 20_000 }) });
    const long = await responseOf(outgoing);
    let broken = false;
    long.resume().on('error', () => (broken = true));
    const connectionsBefore = await rig.stat('upstream_cx_total');
    let swapped = false;
    let after = 0;
    const loading = load(rig, (sent) => sent < 200 || !swapped || after++ < 100);

    expect(await shownFingerprint(rig.grpcPort)).toBe(fingerprint(first));
    await secret.swap(second);
    await eventually(async () => (await shownFingerprint(rig.grpcPort)) === fingerprint(second));
    swapped = true;
    expect(await loading).toBeGreaterThanOrEqual(200);
    await eventually(async () => (await sample(rig, 'sluice_exchanges_active')) === 1);
    expect(broken).toBe(false);
    outgoing.destroy();
    // Envoy's connections are those that it had.
    expect(await rig.stat('upstream_cx_total')).toBe(connectionsBefore);
    expect(await rig.stat('upstream_cx_destroy_remote')).toBe(0);
    await rig.sluice.line(/"info".*New connections to the gRPC port get the certificate/);
  }, 30_000);

  it('that is no good stays out, and the one before is served on', async () => {
    await secret.swap({ cert: first.cert, key: second.key });
    await rig.sluice.line(/"error".*The gRPC port keeps its certificate: Cannot use key/);
    expect(await shownFingerprint(rig.grpcPort)).toBe(fingerprint(second));
    await load(rig, (sent) => sent < 20);
    await secret.swap(second);
    await eventually(
      () => rig.sluice.lines.filter((line) => line.includes('New connections to the gRPC port')).length === 2,
    );
    expect(rig.sluice.lines.filter((line) => line.includes('keeps its certificate'))).toHaveLength(1);
  }, 30_000);

  it('is what an Envoy gets that comes later, and checks', async () => {
    await restartEnvoy(second);
    await eventually(async () => (await chat(rig)).status === 200);
    await load(rig, (sent) => sent < 20);
    expect(await rig.stat('ssl.fail_verify_error')).toBe(0);
  }, 30_000);

  it.each([
    ['of an authority that Envoy does not trust', second, first, 'fail_verify_error'],
    ['with another name than the one it dials', misnamed, misnamed, 'fail_verify_san'],
  ])(
    '%s is refused',
    async (_, shown, trusted, reason) => {
      await secret.swap(shown);
      await eventually(async () => (await shownFingerprint(rig.grpcPort)) === fingerprint(shown));
      await restartEnvoy(trusted);
      await eventually(async () => (await rig.stat(`ssl.${reason}`)) > 0);
      expect((await chat(rig)).status).toBe(503);
    },
    30_000,
  );
});

describe('a certificate of its own making', () => {
  it('serves gateways that dial endpoint pickers over TLS, check nothing, and name no protocol', async () => {
    const asGatewaysDo = editBootstrap((manager) => {
      fullDuplex(manager);
      withoutAccessLog(manager);
    });
    const rig = await startRig(
      'localhost',
      ['--grpc-tls', 'self-signed'],
      ['--ext-proc-tls-insecure'],
      (bootstrap) => replaced(asGatewaysDo(bootstrap), '"alpn_protocols":["h2"]', ''),
    );
    await load(rig, (sent) => sent < 200);
    await rig.sluice.line(/The gRPC port speaks TLS, its certificate is self-signed and is valid until/);
    await untilSettled(rig);
  }, 60_000);

  it('can be checked by whoever took it from the port', async () => {
    const caFile = path.join(folder, 'self-signed.crt');
    const rig = await startRig(
      'localhost',
      ['--grpc-tls', 'self-signed'],
      ['--ext-proc-tls-ca', caFile],
      async (bootstrap, grpcPort) => {
        await writeFile(caFile, (await shownCertificate(grpcPort)).toString());
        return bootstrap;
      },
    );
    await load(rig, (sent) => sent < 20);
    await untilSettled(rig);
  }, 60_000);
});
