/** Certificates for tests, made by openssl when they are asked for: a private key has no place in a repository. */
import { afterAll } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface Certificate {
  readonly key: string;
  /** Signed by itself: also the authority to trust. */
  readonly cert: string;
  /** PEM file of `cert`, there until the tests of the file have ended. */
  readonly certFile: string;
}

/** For the top of a test file: makes a key and a self-signed certificate for names as openssl writes them, e.g. `DNS:localhost,IP:127.0.0.1`. */
export function makeCertificate(names: string): Certificate {
  const folder = mkdtempSync(path.join(tmpdir(), 'sluice-tls-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const keyFile = path.join(folder, 'key.pem');
  const certFile = path.join(folder, 'cert.pem');
  const algorithm = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const subject = ['-subj', '/CN=sluice test', '-addext', `subjectAltName=${names}`];
  try {
    execFileSync(
      'openssl',
      ['req', '-x509', ...algorithm, '-keyout', keyFile, '-out', certFile, ...subject],
      {
        stdio: 'pipe',
      },
    );
  } catch (cause) {
    throw new Error('Cannot make a certificate for this test; run `apt-get install openssl`', { cause });
  }
  return { key: readFileSync(keyFile, 'utf8'), cert: readFileSync(certFile, 'utf8'), certFile };
}
