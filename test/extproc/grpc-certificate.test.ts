import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createGrpcCertificate, type GrpcCertificate } from '../../src/extproc/grpc-certificate.ts';
import { createSelfSigned } from '../../src/extproc/self-signed.ts';
import type { ServerCertificate } from '../../src/extproc/server-certificate.ts';
import { FakeLog } from '../envoy/support/fake-log.ts';
import { FakeClock } from '../support/fake-clock.ts';

const dayMs = 24 * 3_600_000;
const nowMs = new FakeClock().epochMs();

/** Valid from now on for ten years; until three weeks, or three days, from now; until yesterday. */
let fresh: ServerCertificate;
let older: ServerCertificate;
let ending: ServerCertificate;
let expired: ServerCertificate;
beforeAll(async () => {
  const until = (days: number): Promise<ServerCertificate> =>
    createSelfSigned('sluice', nowMs + (days - 3650) * dayMs);
  [fresh, older, ending, expired] = await Promise.all([until(3650), until(21), until(3), until(-1)]);
});

let folder: string;
let certFile: string;
let keyFile: string;
let clock: FakeClock;
let log: FakeLog;
/** What is told of each file that is watched. */
let watched: Map<string, () => void>;
/** Certificates that took over, in order. */
let taken: ServerCertificate[];
let certificate: GrpcCertificate | undefined;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sluice-test-'));
  certFile = path.join(folder, 'tls.crt');
  keyFile = path.join(folder, 'tls.key');
  clock = new FakeClock();
  log = new FakeLog();
  watched = new Map();
  taken = [];
});

afterEach(() => {
  certificate?.stop();
  certificate = undefined;
  rmSync(folder, { recursive: true });
});

function write({ cert, key }: Pick<ServerCertificate, 'cert' | 'key'>): void {
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
}

/** Both files change, and both tell of it. */
function change(pair: Pick<ServerCertificate, 'cert' | 'key'>): void {
  write(pair);
  for (const tell of watched.values()) tell();
}

function create(keyIn = keyFile): Promise<GrpcCertificate> {
  return createGrpcCertificate(
    {
      clock,
      log,
      hostName: 'sluice-7d9f',
      watch(file, onChange) {
        watched.set(file, onChange);
        return { stop: () => void watched.delete(file) };
      },
    },
    { kind: 'files', certFile, keyFile: keyIn },
  );
}

async function start(pair: ServerCertificate): Promise<GrpcCertificate> {
  write(pair);
  certificate = await create();
  certificate.start((next) => taken.push(next));
  return certificate;
}

function lines(): string[] {
  return log.entries.map(({ level, message }) => `${level}: ${message.replaceAll(folder, '/tls')}`);
}

function isoDay(certificate: ServerCertificate): string {
  return new Date(certificate.validUntilMs).toISOString();
}

describe('createGrpcCertificate() at start', () => {
  it('takes what is in the files, and says how long it is good', async () => {
    expect((await start(fresh)).current).toEqual(fresh);
    expect(lines()).toEqual([
      `info: The gRPC port speaks TLS, its certificate "/tls/tls.crt" is valid until ${isoDay(fresh)}`,
    ]);
    expect(log.entries[0]!.fields).toEqual({
      certificate: fresh.fingerprint,
      names: fresh.names,
      validUntil: isoDay(fresh),
    });
    expect(taken).toEqual([]);
  });

  it('warns of one that soon expires', async () => {
    await start(ending);
    expect(lines()).toEqual([
      `warn: The gRPC port speaks TLS, its certificate "/tls/tls.crt" expires at ${isoDay(ending)}`,
    ]);
  });

  it('takes one that has expired, and warns: not every gateway checks it', async () => {
    expect((await start(expired)).current).toEqual(expired);
    expect(lines()).toEqual([
      `warn: The gRPC port speaks TLS, its certificate "/tls/tls.crt" expired at ${isoDay(expired)}`,
    ]);
  });

  it('makes its own where it is asked to', async () => {
    certificate = await createGrpcCertificate(
      { clock, log, hostName: 'sluice-7d9f', watch: () => ({ stop: () => undefined }) },
      { kind: 'self-signed' },
    );
    certificate.start((next) => taken.push(next));
    expect(certificate.current.names).toContain('DNS:sluice-7d9f');
    expect(lines()).toEqual([
      `info: The gRPC port speaks TLS, its certificate is self-signed and is valid until ${isoDay(certificate.current)}`,
    ]);
    expect(clock.pending).toBe(0);
  });

  it.each([
    [
      'certificate',
      () => writeFileSync(keyFile, fresh.key),
      'Cannot read certificate "/tls/tls.crt": ENOENT',
    ],
    ['key', () => writeFileSync(certFile, fresh.cert), 'Cannot read key "/tls/tls.key": ENOENT'],
    [
      'key that fits',
      () => write({ cert: fresh.cert, key: older.key }),
      'Cannot use key "/tls/tls.key": it is not the key of the first certificate in "/tls/tls.crt"',
    ],
  ])('does nothing without a %s', async (_, prepare, message) => {
    prepare();
    const failure = await create().catch((error: unknown) => String(error).replaceAll(folder, '/tls'));
    expect(failure).toBe(`Error: ${message}`);
    expect([watched.size, clock.pending, lines()]).toEqual([0, 0, []]);
  });
});

describe('createGrpcCertificate() while it is followed', () => {
  it('takes a new pair once, although two files tell of it', async () => {
    const { current } = await start(older);
    change(fresh);
    expect([current, taken, certificate!.current]).toEqual([older, [fresh], fresh]);
    expect(lines().slice(1)).toEqual([
      `info: New connections to the gRPC port get the certificate in "/tls/tls.crt", which is valid until ${isoDay(fresh)}`,
    ]);
  });

  it('takes a new pair that soon expires, and warns', async () => {
    await start(older);
    change(ending);
    expect(taken).toEqual([ending]);
    expect(lines().slice(1)).toEqual([
      `warn: New connections to the gRPC port get the certificate in "/tls/tls.crt", which expires at ${isoDay(ending)}`,
    ]);
  });

  it.each<[string, () => Pick<ServerCertificate, 'cert' | 'key'>, string]>([
    [
      'a certificate whose key is still to come',
      () => ({ cert: fresh.cert, key: older.key }),
      'Cannot use key "/tls/tls.key": it is not the key of the first certificate in "/tls/tls.crt"',
    ],
    [
      'one that has expired',
      () => expired,
      `Cannot use certificate "/tls/tls.crt": it expired at ${new Date(nowMs - dayMs).toISOString()}`,
    ],
    ['an empty file', () => ({ cert: '', key: '' }), 'Cannot use certificate "/tls/tls.crt": '],
  ])('keeps what it has at %s, says so once, and takes the next good one', async (_, bad, problem) => {
    await start(older);
    change(bad());
    change(bad());
    expect([certificate!.current, taken]).toEqual([older, []]);
    expect(lines().slice(1)).toEqual([
      expect.stringContaining(`error: The gRPC port keeps its certificate: ${problem}`),
    ]);
    change(fresh);
    expect(taken).toEqual([fresh]);
    expect(lines().slice(2)).toEqual([expect.stringContaining('info: New connections to the gRPC port')]);
  });

  it('says when the files are good again, the same as before', async () => {
    await start(older);
    rmSync(keyFile);
    for (const tell of watched.values()) tell();
    change(older);
    expect(lines().slice(1)).toEqual([
      'error: The gRPC port keeps its certificate: Cannot read key "/tls/tls.key": ENOENT',
      expect.stringContaining('info: New connections to the gRPC port'),
    ]);
    expect(certificate!.current).toEqual(older);
  });

  it('tells how bad a certificate is that is worse than the one before', async () => {
    await start(expired);
    change({ cert: '', key: '' });
    change(expired);
    expect(lines().map((line) => line.split(':')[0])).toEqual(['warn', 'error', 'warn']);
  });

  it('finds what changed before it was followed', async () => {
    write(older);
    certificate = await create();
    write(fresh);
    certificate.start((next) => taken.push(next));
    expect(taken).toEqual([fresh]);
  });

  it('watches one file where both are in it', async () => {
    writeFileSync(certFile, `${fresh.cert}\n${fresh.key}`);
    certificate = await create(certFile);
    certificate.start((next) => taken.push(next));
    expect([...watched.keys()]).toEqual([certFile]);
    writeFileSync(certFile, `${older.cert}\n${older.key}`);
    watched.get(certFile)!();
    expect(taken.map(({ fingerprint }) => fingerprint)).toEqual([older.fingerprint]);
  });

  it('reminds daily of a certificate that nobody renews, from a week before its end', async () => {
    await start(older);
    clock.advance(13 * dayMs);
    expect(lines()).toHaveLength(1);
    clock.advance(10 * dayMs);
    expect(lines().slice(1)).toEqual([
      ...Array.from(
        { length: 7 },
        () => `warn: The certificate "/tls/tls.crt" of the gRPC port expires at ${isoDay(older)}`,
      ),
      ...Array.from(
        { length: 3 },
        () => `warn: The certificate "/tls/tls.crt" of the gRPC port expired at ${isoDay(older)}`,
      ),
    ]);
  });

  it('leaves no watch and no timer behind', async () => {
    await start(fresh);
    expect([watched.size, clock.pending]).toEqual([2, 1]);
    certificate!.stop();
    expect([watched.size, clock.pending]).toEqual([0, 0]);
  });
});
