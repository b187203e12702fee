import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { makeCertificate } from '../../support/certificates.ts';
import { freePort } from '../../support/free-port.ts';
import { eventually } from '../../support/eventually.ts';
import { startEnvoyRig, type EnvoyRig } from '../support/envoy-rig.ts';
import { json, startFakeEngine } from '../support/fake-engine.ts';

const { key, cert, certFile } = makeCertificate('DNS:engine.test');

let rig: EnvoyRig;

beforeAll(async () => {
  rig = await startEnvoyRig({ engineTls: { kind: 'verify', caFile: certFile } });
}, 30_000);

afterAll(() => rig.stop());

const post = () => fetch(`${rig.url}/v1/completions`, { method: 'POST', body: '{"prompt":"hello"}' });

describe('endpointsClusterConfig()', () => {
  it('goes to the next endpoint of the decision when one refuses', async () => {
    const engine = await startFakeEngine(json({ from: 'second' }));
    await rig.routeTo(await freePort(), engine.port);
    const response = await post();
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ from: 'second' });
    await engine.stop();
  });

  it.each([
    ['dies with the request in hand', (response: { destroy(): void }) => response.destroy()],
    ['is full', (response: { writeHead(status: number): { end(): void } }) => response.writeHead(503).end()],
  ])('sends the whole request to the next endpoint when one %s', async (_, fail) => {
    const first = await startFakeEngine(fail);
    const second = await startFakeEngine(json({ from: 'second' }));
    await rig.routeTo(first.port, second.port);
    const response = await post();
    expect(await response.json()).toEqual({ from: 'second' });
    expect(first.requests).toHaveLength(1);
    expect(second.requests[0]!.headers['content-length']).toBe('18');
    await Promise.all([first.stop(), second.stop()]);
  });

  it('does not repeat a request that an engine answered with an error', async () => {
    const first = await startFakeEngine((response) => response.writeHead(500).end());
    const second = await startFakeEngine(json({}));
    await rig.routeTo(first.port, second.port);
    expect((await post()).status).toBe(500);
    expect(second.requests).toHaveLength(0);
    await Promise.all([first.stop(), second.stop()]);
  });

  it('lets a running stream end on an endpoint that was removed', async () => {
    let finish = (): void => undefined;
    const engine = await startFakeEngine((response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: {}\n\n');
      finish = () => response.end('data: [DONE]\n\n');
    });
    await rig.routeTo(engine.port);
    const response = await post();
    rig.endpoints.publish();
    await rig.untilKnown();
    finish();
    expect(await response.text()).toBe('data: {}\n\ndata: [DONE]\n\n');
    await engine.stop();
  });

  it('speaks TLS where the endpoint says so: SNI, Host and the expected name are its hostname', async () => {
    const serverNames = new Set<string>();
    const engine = await startFakeEngine(json({ tls: true }), {
      key,
      cert,
      SNICallback(name, accept) {
        serverNames.add(name);
        accept(null);
      },
    });
    const id = `127.0.0.1:${engine.port}`;
    rig.sluice.decide({ kind: 'route', to: id });

    rig.endpoints.publish({ port: engine.port, tls: true, hostname: 'engine.test' });
    await rig.untilKnown(id);
    expect(await (await post()).json()).toEqual({ tls: true });
    expect(engine.requests.map((request) => request.headers.host)).toEqual(['engine.test']);
    expect([...serverNames]).toEqual(['engine.test']);

    rig.endpoints.publish({ port: engine.port, tls: true, hostname: 'other.test' });
    await eventually(async () => (await rig.admin('/clusters')).includes(`${id}::hostname::other.test`));
    expect((await post()).status).toBe(503);
    expect(engine.requests).toHaveLength(1);
    await engine.stop();
  });
});
