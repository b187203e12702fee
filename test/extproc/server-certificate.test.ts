import { describe, expect, it } from '@jest/globals';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { generate } from 'selfsigned';
import {
  isExpired,
  parseCertificate,
  validityConcern,
  type ServerCertificate,
} from '../../src/extproc/server-certificate.ts';
import { makeCertificate } from '../support/certificates.ts';

const main = makeCertificate('DNS:sluice.llm.svc,IP:127.0.0.1');
const other = makeCertificate('DNS:other');

function parse(cert: string, key: string): ServerCertificate {
  return parseCertificate({ name: '/tls/tls.crt', pem: cert }, { name: '/tls/tls.key', pem: key });
}

describe('parseCertificate()', () => {
  it('says whom it is for and how long', () => {
    const x509 = new X509Certificate(main.cert);
    expect(parse(main.cert, main.key)).toEqual({
      cert: main.cert,
      key: main.key,
      fingerprint: x509.fingerprint256,
      names: 'DNS:sluice.llm.svc, IP Address:127.0.0.1',
      validFromMs: Date.parse(x509.validFrom),
      validUntilMs: Date.parse(x509.validTo),
    });
  });

  it('reads the first certificate of several, and finds the key among them', () => {
    const all = main.cert + main.key + other.cert;
    expect(parse(all, all).names).toBe('DNS:sluice.llm.svc, IP Address:127.0.0.1');
  });

  const encrypted = createPrivateKey(main.key)
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' })
    .toString();
  const cut = other.cert.slice(0, 100);

  it.each([
    ['nothing', '', main.key, 'Cannot use certificate "/tls/tls.crt": it is not one in PEM ('],
    [
      'what is no certificate',
      main.key,
      main.key,
      'Cannot use certificate "/tls/tls.crt": it is not one in PEM (',
    ],
    ['what is no key', main.cert, main.cert, 'Cannot use key "/tls/tls.key": it is no private key in PEM ('],
    [
      'an encrypted key',
      main.cert,
      encrypted,
      'Cannot use key "/tls/tls.key": it needs a passphrase; take it off (',
    ],
    [
      'the key of another certificate',
      main.cert,
      other.key,
      'Cannot use key "/tls/tls.key": it is not the key of the first certificate in "/tls/tls.crt"',
    ],
    [
      'a chain in the wrong order',
      other.cert + main.cert,
      main.key,
      'Cannot use key "/tls/tls.key": it is not the key of the first certificate in "/tls/tls.crt"',
    ],
    [
      'a chain that is cut',
      main.cert + cut,
      main.key,
      'Cannot use certificate "/tls/tls.crt": TLS refuses it (',
    ],
  ])('refuses %s', (_, cert, key, message) => {
    expect(() => parse(cert, key)).toThrow(message);
  });

  it('refuses a key that is too short for TLS', async () => {
    const weak = await generate([{ name: 'commonName', value: 'weak' }], {
      keySize: 1024,
      algorithm: 'sha256',
    });
    expect(() => parse(weak.cert, weak.private)).toThrow(
      /^Cannot use certificate "\/tls\/tls.crt": TLS refuses it \(.*key too small/,
    );
  });

  it('quotes nothing of a key', () => {
    const secret = main.key.split('\n')[1]!;
    let message = '';
    try {
      parse(main.cert, main.key.replace(/.{20}\n-----END/, '\n-----END'));
    } catch (error) {
      message = String(error);
    }
    expect(message).toContain('Cannot use key');
    expect(message).not.toContain(secret.slice(0, 10));
  });
});

describe('validityConcern()', () => {
  const dayMs = 24 * 3_600_000;
  const certificate: ServerCertificate = {
    ...{ cert: '', key: '', fingerprint: '', names: '' },
    validFromMs: Date.UTC(2030, 0, 1),
    validUntilMs: Date.UTC(2030, 3, 1),
  };

  it.each([
    ['a second too early', -1000, 'is not valid before 2030-01-01T00:00:00.000Z', false],
    ['from its first day', 0, undefined, false],
    ['up to a week before its end', 83 * dayMs - 1, undefined, false],
    ['in its last week', 83 * dayMs, 'expires at 2030-04-01T00:00:00.000Z', false],
    ['to the last moment', 90 * dayMs - 1, 'expires at 2030-04-01T00:00:00.000Z', false],
    ['after it', 90 * dayMs, 'expired at 2030-04-01T00:00:00.000Z', true],
  ])('%s', (_, sinceMs, concern, expired) => {
    const nowMs = certificate.validFromMs + sinceMs;
    expect(validityConcern(certificate, nowMs)).toBe(concern);
    expect(isExpired(certificate, nowMs)).toBe(expired);
  });
});
