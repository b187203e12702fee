/** Whose signature is believed on the certificates of `https://` engines. */
import { existsSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import type { EngineTls } from './bootstrap/options.ts';

export interface EngineTlsOptions {
  /** PEM file of authorities, in place of the system's. */
  readonly caFile?: string | undefined;
  readonly insecureSkipVerify?: boolean | undefined;
}

/** Where Debian, Red Hat, Alpine and SUSE keep the authorities. Envoy does not look for them by itself. */
const systemCaFiles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/cert.pem',
  '/etc/ssl/ca-bundle.pem',
];

/** The operator's choice, else the system's authorities, else those that Node brings: never none without being told so. */
export function engineTls({ caFile, insecureSkipVerify = false }: EngineTlsOptions = {}): EngineTls {
  if (insecureSkipVerify) return { kind: 'insecure' };
  const file = caFile ?? systemCaFiles.find((candidate) => existsSync(candidate));
  return file === undefined
    ? { kind: 'verify', caPem: rootCertificates.join('\n') }
    : { kind: 'verify', caFile: file };
}
