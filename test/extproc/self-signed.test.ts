import { describe, expect, it } from '@jest/globals';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:tls';
import { createSelfSigned } from '../../src/extproc/self-signed.ts';

const hourMs = 3_600_000;

describe('createSelfSigned()', () => {
  it('makes a certificate for this machine, for ten years', async () => {
    const nowMs = Date.UTC(2030, 0, 1);
    const certificate = await createSelfSigned('sluice-7d9f', nowMs);
    expect(certificate).toMatchObject({
      names: 'DNS:localhost, DNS:sluice-7d9f, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
      validFromMs: nowMs - hourMs,
      validUntilMs: nowMs + 3650 * 24 * hourMs,
    });
  });

  it('makes another one each time', async () => {
    const [one, two] = await Promise.all([createSelfSigned('a', 0), createSelfSigned('a', 0)]);
    expect(one.fingerprint).not.toBe(two.fingerprint);
    expect(one.key).not.toBe(two.key);
  });

  it.each(['localhost', 'sluice-7d9f'])('whoever trusts it may call us %s', async (servername) => {
    const { cert, key } = await createSelfSigned('sluice-7d9f', Date.now());
    const server = createServer({ cert, key }, (socket) => socket.end());
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const client = connect({ port, host: '127.0.0.1', servername, ca: cert });
    await new Promise((resolve, reject) => client.once('secureConnect', resolve).once('error', reject));
    expect(client.authorized).toBe(true);
    client.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
});
