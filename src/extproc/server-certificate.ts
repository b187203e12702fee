/** The certificate that the gRPC port shows, with its private key: checked before anybody depends on it. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';

/** A certificate and a key that belong together. */
export interface ServerCertificate {
  /** In PEM: the certificate itself, then those between it and its authority. */
  readonly cert: string;
  /** In PEM. A secret. */
  readonly key: string;
  /** SHA-256 of the certificate, as openssl prints it. */
  readonly fingerprint: string;
  /** Whom it is for, e.g. `DNS:sluice.llm.svc, IP Address:127.0.0.1`. */
  readonly names: string;
  readonly validFromMs: number;
  readonly validUntilMs: number;
}

/** Something in PEM, and what an operator calls it. */
export interface NamedPem {
  readonly name: string;
  readonly pem: string;
}

/**
 * Reads a certificate and its key. How long it is valid is not judged here.
 *
 * @throws Error when one of them is not PEM, the key is encrypted or that of another certificate, or TLS refuses them.
 */
export function parseCertificate(cert: NamedPem, key: NamedPem): ServerCertificate {
  const certificate = checked(
    () => new X509Certificate(cert.pem),
    `certificate "${cert.name}": it is not one in PEM`,
  );
  const privateKey = checked(() => createPrivateKey(key.pem), `key "${key.name}": ${keyProblem(key)}`);
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new Error(
      `Cannot use key "${key.name}": it is not the key of the first certificate in "${cert.name}"`,
    );
  }
  // What is too weak, and what follows the first certificate.
  checked(
    () => createSecureContext({ cert: cert.pem, key: key.pem }),
    `certificate "${cert.name}": TLS refuses it`,
  );
  return {
    cert: cert.pem,
    key: key.pem,
    fingerprint: certificate.fingerprint256,
    names: certificate.subjectAltName ?? '',
    validFromMs: certificate.validFromDate.getTime(),
    validUntilMs: certificate.validToDate.getTime(),
  };
}

/** Whether clients that check it would refuse it by now. */
export function isExpired({ validUntilMs }: ServerCertificate, epochMs: number): boolean {
  return epochMs >= validUntilMs;
}

/** What an operator should know about the time for which it is valid; undefined where all is well for a week. */
export function validityConcern(certificate: ServerCertificate, epochMs: number): string | undefined {
  const { validFromMs, validUntilMs } = certificate;
  if (isExpired(certificate, epochMs)) return `expired at ${isoTime(validUntilMs)}`;
  if (epochMs < validFromMs) return `is not valid before ${isoTime(validFromMs)}`;
  return epochMs + weekMs >= validUntilMs ? `expires at ${isoTime(validUntilMs)}` : undefined;
}

const weekMs = 7 * 24 * 3_600_000;

/** As the log says it. */
export function isoTime(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

function keyProblem({ pem }: NamedPem): string {
  return pem.includes('ENCRYPTED') ? 'it needs a passphrase; take it off' : 'it is no private key in PEM';
}

function checked<Value>(create: () => Value, problem: string): Value {
  try {
    return create();
  } catch (cause) {
    // OpenSSL quotes nothing of a key.
    throw new Error(`Cannot use ${problem} (${(cause as Error).message})`, { cause });
  }
}
