import { afterEach, describe, expect, it } from '@jest/globals';
import {
  startSimulatedEngine,
  type SimulatedEngine,
  type SimulatedEngineOptions,
} from '../../src/engine-sim/server.ts';
import { chat } from '../support/chat.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { endpoints, untilIdle } from '../support/pages.ts';
import { exchangeOf } from '../support/refusals.ts';
import { makeCertificate } from '../support/certificates.ts';
import { startTlsFront, type TlsFront } from '../support/tls-front.ts';

const trusted = makeCertificate('DNS:localhost,IP:127.0.0.1,IP:::1');
const stranger = makeCertificate('DNS:localhost');

const cleanUp: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const clean of cleanUp.splice(0).reverse()) await clean();
});

async function engine(options: Partial<SimulatedEngineOptions> = {}): Promise<SimulatedEngine> {
  const started = await startSimulatedEngine({ model: 'm', speed: 20, ...options });
  cleanUp.push(() => started.stop());
  return started;
}

async function front(behind: SimulatedEngine, host?: string): Promise<TlsFront> {
  const started = await startTlsFront(behind.port, trusted, host);
  cleanUp.push(() => started.stop());
  return started;
}

async function gatewayTo(backend: string, config = ''): Promise<Gateway> {
  const gateway = await startGateway({ backends: [backend], config });
  cleanUp.push(() => gateway.stop());
  return gateway;
}

const trusting = (caFile: string): string =>
  `envoy: { upstreamTls: { caFile: ${JSON.stringify(caFile)} } }\nscrape: { interval: 100ms, staleAfter: 1s }`;

/** A plain and a streamed completion, with their tokens counted. */
async function serves(gateway: Gateway, endpoint: string): Promise<void> {
  for (const stream of [false, true]) {
    const reply = await chat(gateway, { stream, tokens: 3 });
    expect(reply.status).toBe(200);
    expect(await exchangeOf(gateway, reply)).toMatchObject({
      servedBy: endpoint,
      attempts: 1,
      outcome: 'completed',
      outputTokens: 3,
    });
  }
  await untilIdle(gateway);
}

describe('an engine', () => {
  it('by a name: called by that name', async () => {
    const named = await engine();
    const gateway = await gatewayTo(`http://localhost:${named.port}`);
    await serves(gateway, `127.0.0.1:${named.port}`);
    expect(named.requests().at(-1)?.headers).toMatchObject({
      host: expect.stringMatching(/^localhost(:\d+)?$/),
    });
  }, 30_000);

  it('by an IPv6 address', async () => {
    const six = await engine({ host: '::1' });
    const gateway = await gatewayTo(`http://[::1]:${six.port}`);
    await serves(gateway, `[::1]:${six.port}`);
  }, 30_000);

  it('by https and a name: it is asked for by that name, and its certificate checked', async () => {
    const { port, serverNames } = await front(await engine());
    const gateway = await gatewayTo(`https://localhost:${port}`, trusting(trusted.certFile));
    await serves(gateway, `127.0.0.1:${port}`);
    expect(new Set(serverNames)).toEqual(new Set(['localhost']));
  }, 30_000);

  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '[::1]'],
  ])(
    'by https and the address %s',
    async (host, written) => {
      const { port } = await front(await engine(), host);
      const gateway = await gatewayTo(`https://${written}:${port}`, trusting(trusted.certFile));
      await serves(gateway, `${written}:${port}`);
    },
    30_000,
  );

  it('by https with any certificate, where that was asked for', async () => {
    const { port } = await front(await engine());
    const gateway = await gatewayTo(
      `https://localhost:${port}`,
      'envoy: { upstreamTls: { insecureSkipVerify: true } }',
    );
    await serves(gateway, `127.0.0.1:${port}`);
  }, 30_000);
});

describe('an engine is not believed', () => {
  it.each([
    ['whose certificate another authority signed', 'localhost', stranger, /self-signed certificate/],
    ['whose certificate is for others', '127.0.0.2', trusted, /does not match certificate's altnames/],
  ])(
    '%s',
    async (_name, host, authority, reason) => {
      const behind = await engine();
      const { port } = await front(behind, host);
      const gateway = await startGateway({
        backends: [`https://${host}:${port}`],
        config: trusting(authority.certFile),
        untilReady: false,
      });
      cleanUp.push(() => gateway.stop());
      const warned = await gateway.line(({ msg }) => msg.includes('is unhealthy'));
      expect(warned.msg).toMatch(reason);
      expect(await endpoints(gateway)).toMatchObject([
        { health: { kind: 'unhealthy', reason: expect.stringMatching(reason) } },
      ]);
      const reply = await chat(gateway);
      expect(reply).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
      expect(await exchangeOf(gateway, reply)).toMatchObject({ reason: 'model-unavailable' });
      expect(behind.requests()).toEqual([]);
      await untilIdle(gateway);
    },
    30_000,
  );
});
