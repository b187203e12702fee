import { afterEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseConfig } from '../src/config/load.ts';
import { createLogger } from '../src/observability/log.ts';
import { managedBootstrap, startRouter } from '../src/router.ts';
import { startSluice } from './support/child.ts';
import { testConfig } from './support/configuration.ts';
import { takenPort } from './support/free-port.ts';

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanUp.splice(0).reverse()) await clean();
});

describe('managedBootstrap()', () => {
  it('says to Envoy what the configuration says', () => {
    const given = parseConfig(
      `
limits: { maxBodyBytes: 1MiB }
envoy:
  requestTimeout: 1m
  idleTimeout: 2m
  connectTimeout: 3s
  retries: 4
  perTryIdleTimeout: 5s
  messageTimeout: 6s
  maxMessageTimeout: 7s
  upstreamTls: { insecureSkipVerify: true }
`,
      'f',
    ).config;
    expect(managedBootstrap(given, '[::1]:8001', 'unix:/run/grpc.sock')).toMatchObject({
      listen: { kind: 'tcp', host: '::1', port: 8001 },
      extProc: { kind: 'unix', path: '/run/grpc.sock' },
      maxBodyBytes: 1024 * 1024,
      accessLog: 'off',
      requestTimeoutMs: 60_000,
      idleTimeoutMs: 120_000,
      connectTimeoutMs: 3000,
      retries: 4,
      perTryIdleTimeoutMs: 5000,
      messageTimeoutMs: 6000,
      maxMessageTimeoutMs: 59 * 60_000 + 6000,
    });
  });

  it('refuses an address that is none', () => {
    expect(() => managedBootstrap(testConfig([]).config, 'nowhere', 'unix:/a')).toThrow(
      'Cannot use address "nowhere"',
    );
  });
});

describe('startRouter()', () => {
  it.each([
    ['an address that is none', '[::1', 'Cannot use address "[::1'],
    ['a port that is taken', '127.0.0.1', 'in use'],
  ])(
    'refuses %s, ends, and leaves nothing behind',
    async (_, host, message) => {
      const folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
      cleanUp.push(() => rm(folder, { recursive: true }));
      const taken = await takenPort();
      cleanUp.push(taken.release);
      const port = String(taken.port);
      const child = startSluice(
        [
          'router',
          '--host',
          host,
          '--port',
          port,
          '--admin-port',
          '0',
          '--static-backends',
          'http://127.0.0.1:1',
        ],
        { TMPDIR: folder },
      );
      cleanUp.push(() => child.end());
      expect((await child.exited).code).toBe(1);
      expect(child.stderr).toContain(message);
      expect(await readdir(folder)).toEqual([]);
    },
    30_000,
  );

  it('says which Envoy it cannot find, before it starts anything', async () => {
    const log = createLogger({ level: 'silent', format: 'json' });
    await expect(
      startRouter({
        loaded: testConfig(['http://127.0.0.1:1']),
        log,
        envoyBin: '/no/such/envoy',
        listen: '127.0.0.1:0',
      }),
    ).rejects.toThrow('/no/such/envoy');
  });
});
