/** The certificate of the gRPC port while Sluice runs: read or made at start, and read again when its files change. */
import { readFileSync } from 'node:fs';
import type { Clock, Timer } from '../lib/clock.ts';
import { createSelfSigned } from './self-signed.ts';
import {
  isExpired,
  isoTime,
  parseCertificate,
  validityConcern,
  type NamedPem,
  type ServerCertificate,
} from './server-certificate.ts';

/** Two files in PEM; they may be one. */
export interface CertificateFiles {
  readonly kind: 'files';
  /** The certificate, then those between it and its authority. */
  readonly certFile: string;
  readonly keyFile: string;
}

/** Where the certificate comes from. */
export type CertificateSource = CertificateFiles | { readonly kind: 'self-signed' };

export interface GrpcCertificate {
  /** The last one that could be used. */
  readonly current: ServerCertificate;
  /** Tells of every later one, until it is stopped. */
  start(onChange: (certificate: ServerCertificate) => void): void;
  stop(): void;
}

/** What this part asks of a log; pino's logger is one. */
export type CertificateLog = Readonly<
  Record<'info' | 'warn' | 'error', (fields: object, message: string) => void>
>;

export interface GrpcCertificateDeps {
  readonly clock: Clock;
  readonly log: CertificateLog;
  /** Calls back whenever the content of the file is another one, until it is stopped. */
  readonly watch: (file: string, onChange: () => void) => { stop(): void };
  /** What this machine calls itself. */
  readonly hostName: string;
}

/**
 * Reads or makes the certificate. One that has expired is taken, with a warning: not every gateway checks it.
 *
 * @throws Error that names the file that cannot be read or used.
 */
export async function createGrpcCertificate(
  deps: GrpcCertificateDeps,
  source: CertificateSource,
): Promise<GrpcCertificate> {
  switch (source.kind) {
    case 'files':
      return followFiles(deps, source);
    case 'self-signed': {
      const current = await createSelfSigned(deps.hostName, deps.clock.epochMs());
      announce(deps, 'The gRPC port speaks TLS, its certificate is self-signed and', current);
      return { current, start: () => undefined, stop: () => undefined };
    }
    default:
      return source satisfies never;
  }
}

function followFiles(deps: GrpcCertificateDeps, files: CertificateFiles): GrpcCertificate {
  const { clock, log, watch } = deps;
  let current = readCertificate(files);
  announce(deps, `The gRPC port speaks TLS, its certificate "${files.certFile}"`, current);
  /** Why the files cannot be used as they are now: both of them tell of one change. */
  let problem: string | undefined;
  let watches: readonly { stop(): void }[] = [];
  let reminder: Timer | undefined;

  function look(onChange: (certificate: ServerCertificate) => void): void {
    let next: ServerCertificate;
    try {
      next = readCertificate(files);
      if (!isSame(next, current) && isExpired(next, clock.epochMs())) throw expired(files, next);
    } catch (error) {
      const known = problem;
      problem = error instanceof Error ? error.message : String(error);
      if (problem !== known) {
        log.error(
          { problem, certificate: current.fingerprint },
          `The gRPC port keeps its certificate: ${problem}`,
        );
      }
      return;
    }
    if (problem === undefined && isSame(next, current)) return;
    problem = undefined;
    current = next;
    onChange(next);
    announce(
      deps,
      `New connections to the gRPC port get the certificate in "${files.certFile}", which`,
      next,
    );
  }

  /** Files that nobody renews tell of no change. */
  function remind(): void {
    if (validityConcern(current, clock.epochMs()) !== undefined)
      announce(deps, `The certificate "${files.certFile}" of the gRPC port`, current);
    reminder = clock.after(dayMs, remind);
  }

  return {
    get current() {
      return current;
    },
    start(onChange) {
      const changed = (): void => look(onChange);
      watches = [...new Set([files.certFile, files.keyFile])].map((file) => watch(file, changed));
      reminder = clock.after(dayMs, remind);
      // What changed before it was watched.
      changed();
    },
    stop() {
      for (const each of watches) each.stop();
      reminder?.cancel();
    },
  };
}

const dayMs = 24 * 3_600_000;

function readCertificate({ certFile, keyFile }: CertificateFiles): ServerCertificate {
  return parseCertificate(readPem('certificate', certFile), readPem('key', keyFile));
}

function readPem(what: string, file: string): NamedPem {
  try {
    return { name: file, pem: readFileSync(file, 'utf8') };
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new Error(`Cannot read ${what} "${file}": ${code ?? message}`, { cause });
  }
}

function isSame(one: ServerCertificate, other: ServerCertificate): boolean {
  return one.cert === other.cert && one.key === other.key;
}

function expired({ certFile }: CertificateFiles, { validUntilMs }: ServerCertificate): Error {
  return new Error(`Cannot use certificate "${certFile}": it expired at ${isoTime(validUntilMs)}`);
}

/** One line; a warning where the certificate is not valid, or soon will not be. */
function announce(
  { clock, log }: GrpcCertificateDeps,
  subject: string,
  certificate: ServerCertificate,
): void {
  const { fingerprint, names } = certificate;
  const validUntil = isoTime(certificate.validUntilMs);
  const fields = { certificate: fingerprint, names, validUntil };
  const concern = validityConcern(certificate, clock.epochMs());
  if (concern === undefined) log.info(fields, `${subject} is valid until ${validUntil}`);
  else log.warn(fields, `${subject} ${concern}`);
}
