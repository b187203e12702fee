import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'node:http';
import { editBootstrap, fullDuplex } from '../support/edit-bootstrap.ts';
import { downloadTimeoutMs, testedEnvoyVersions } from '../support/envoy.ts';
import { startExchangeRig, type ExchangeRig } from '../support/exchange-rig.ts';

const responseHeaders = {
  remove: ['access-control-allow-credentials'],
  set: { 'access-control-allow-origin': 'https://app.example.com', 'x-new': 'é' },
  append: { vary: 'origin', 'x-list': 'ours' },
};

const fromEngine = [
  ...['vary', 'accept-encoding', 'x-list', 'theirs', 'x-kept', '1'],
  ...['access-control-allow-origin', '*', 'access-control-allow-origin', 'https://other.example'],
  ...['access-control-allow-credentials', 'true', 'content-type', 'text/plain', 'content-length', '5'],
];

const modes = [
  ...testedEnvoyVersions.map((version) => ({ version, duplex: false })),
  { version: testedEnvoyVersions.at(-1)!, duplex: true },
];

describe.each(modes)('changes to response headers, by Envoy $version, full duplex $duplex', (mode) => {
  let rig: ExchangeRig;
  beforeAll(async () => {
    rig = await startExchangeRig({
      envoyVersion: mode.version,
      engine: (_request, response) => response.writeHead(200, fromEngine).end('whole'),
      ...(mode.duplex ? { editBootstrap: editBootstrap(fullDuplex) } : {}),
    });
  }, downloadTimeoutMs);
  afterAll(() => rig.stop());
  afterEach(() => {
    rig.decision = {};
  });

  it.each([
    ['passes unseen', false],
    ['is shown to Sluice', true],
  ])('are made while the body %s', async (_, shown) => {
    const seen: string[] = [];
    rig.decision = {
      responseHeaders,
      ...(shown ? { observer: { push: (chunk) => seen.push(chunk.toString()) } } : {}),
    };
    const { body, values } = await get(rig.port);
    expect(values('access-control-allow-origin')).toEqual(['https://app.example.com']);
    expect(values('access-control-allow-credentials')).toEqual([]);
    expect(values('x-new')).toEqual(['é']);
    expect(values('vary')).toEqual(['accept-encoding', 'origin']);
    expect(values('x-list')).toEqual(['theirs', 'ours']);
    expect(values('x-kept')).toEqual(['1']);
    expect(body).toBe('whole');
    expect(seen.join('')).toBe(shown ? 'whole' : '');
  });

  it('are none where none were asked for', async () => {
    const { values } = await get(rig.port);
    expect(values('access-control-allow-origin')).toEqual(['*', 'https://other.example']);
    expect(values('access-control-allow-credentials')).toEqual(['true']);
    expect(values('vary')).toEqual(['accept-encoding']);
    expect(values('x-list')).toEqual(['theirs']);
    expect(values('x-new')).toEqual([]);
  });
});

/** One request; `values` are those of a response header, be they in one field or in several. */
function get(port: number): Promise<{ body: string; values: (name: string) => string[] }> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path: '/v1/models', agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.once('error', reject).once('end', () => {
        const values = (name: string): string[] =>
          (response.headersDistinct[name] ?? []).flatMap((value) => value.split(/, ?/));
        resolve({ body, values });
      });
    })
      .once('error', reject)
      .end();
  });
}
