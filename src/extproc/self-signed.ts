/** A certificate that nobody vouches for: for gateways that encrypt what they say to an endpoint picker, and check nothing. */
import { parseCertificate, type ServerCertificate } from './server-certificate.ts';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** What the endpoint pickers of the Gateway API's inference extension make for themselves is valid for as long. */
const validDays = 3650;

/** Makes a key and a certificate for this machine: its name, `localhost`, and the loopback addresses. */
export async function createSelfSigned(hostName: string, epochMs: number): Promise<ServerCertificate> {
  // A tenth of a second that only those pay who need it.
  const { generate } = await import('selfsigned');
  const { cert, private: key } = await generate([{ name: 'commonName', value: 'sluice' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    // Clocks differ.
    notBeforeDate: new Date(epochMs - hourMs),
    notAfterDate: new Date(epochMs + validDays * dayMs),
    extensions: [
      // Whoever trusts it trusts nothing that its key signs.
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: dnsName, value: 'localhost' },
          { type: dnsName, value: hostName },
          { type: ipAddress, ip: '127.0.0.1' },
          { type: ipAddress, ip: '::1' },
        ],
      },
    ],
  });
  return parseCertificate({ name: 'self-signed', pem: cert }, { name: 'self-signed', pem: key });
}

/** The numbers that the certificate's format has for them. */
const dnsName = 2;
const ipAddress = 7;
