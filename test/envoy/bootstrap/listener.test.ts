import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'node:http';
import { connect } from 'node:net';
import { startEnvoyRig, type EnvoyRig } from '../support/envoy-rig.ts';
import { json, startFakeEngine, type FakeEngine } from '../support/fake-engine.ts';

let rig: EnvoyRig;
let engine: FakeEngine;

beforeAll(async () => {
  engine = await startFakeEngine(json({ ok: true }));
  rig = await startEnvoyRig();
  await rig.routeTo(engine.port);
}, 30_000);

afterAll(async () => {
  await rig.stop();
  await engine.stop();
});

describe('listener()', () => {
  it('takes away headers by which a client would give orders, before anybody reads them', async () => {
    const orders = {
      'x-gateway-destination-endpoint': '127.0.0.1:1',
      'x-gateway-destination-endpoint-subset': '127.0.0.1:1',
      'X-Sluice-Exchange': 'exchange-1',
      'x-prefiller-host-port': '127.0.0.1:1',
      'x-envoy-original-dst-host': '127.0.0.1:1',
      'x-envoy-retry-on': '5xx',
      x_sluice_exchange: 'exchange-1',
    };
    const response = await fetch(`${rig.url}/v1/completions`, {
      method: 'POST',
      body: '{}',
      headers: { ...orders, 'x-mine': 'kept' },
    });

    expect(response.status).toBe(200);
    const shown = rig.sluice.requests.at(-1)!;
    const sent = engine.requests.at(-1)!.headers;
    for (const name of Object.keys(orders)) {
      expect(shown.has(name.toLowerCase())).toBe(false);
      expect(sent).not.toHaveProperty([name.toLowerCase()]);
    }
    expect(shown.get('x-mine')).toBe('kept');
    expect(sent).toMatchObject({ 'x-mine': 'kept' });
  });

  it.each(['//v1//models', '/v1/../v1/models', '/x/%2e%2e/v1/models', '/v1%2Fmodels', '/v1%5Cmodels'])(
    'shows %s to Sluice as the path that the engine gets',
    async (path) => {
      await new Promise<void>((resolve, reject) => {
        request({ port: rig.port, path, method: 'POST' }, (response) =>
          response.resume().once('end', resolve),
        )
          .once('error', reject)
          .end('{}');
      });
      expect(rig.sluice.requests.at(-1)!.get(':path')).toBe('/v1/models');
      expect(engine.requests.at(-1)!.url).toBe('/v1/models');
    },
  );

  it("keeps the client's request id and gives one to others", async () => {
    const mine = await fetch(rig.url, { headers: { 'x-request-id': 'mine' } });
    const other = await fetch(rig.url);
    expect(mine.headers.get('x-request-id')).toBe('mine');
    expect(other.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('asks engines for uncompressed responses', async () => {
    await fetch(rig.url, { headers: { 'accept-encoding': 'gzip, br' } });
    expect(engine.requests.at(-1)!.headers['accept-encoding']).toBe('identity');
  });

  it('speaks HTTP/1.0', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = connect(rig.port, '127.0.0.1', () => socket.write('GET /v1/models HTTP/1.0\r\n\r\n'));
      socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
      socket.once('end', () => resolve(text)).once('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1\.0 200 OK\r\n/);
    expect(answer).toMatch(/\{"ok":true\}$/);
  });
});
