import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { httpGet } from '../../src/auth/http-get.ts';
import { createJwksSource, maxJwksBytes, type JwksSource } from '../../src/auth/jwks-source.ts';
import { freePort } from '../support/free-port.ts';
import { until } from '../support/until.ts';
import { JwksServer, type JwksReply } from './support/jwks-server.ts';

const document = { keys: [{ kty: 'x' }] };
const body = JSON.stringify(document);

const fetchFrom = (source: JwksSource, uncached = false) =>
  source.fetch({ signal: new AbortController().signal, uncached });

describe('createJwksSource() of an http URL', () => {
  let server: JwksServer;
  let source: JwksSource;
  beforeEach(async () => {
    server = await JwksServer.start();
    source = createJwksSource({ kind: 'uri', uri: `${server.url}?key=secret` }, httpGet);
  });
  afterEach(async () => {
    await server.stop();
  });

  it('gives the document', async () => {
    server.reply = { body };
    expect(await fetchFrom(source)).toEqual({ document, maxAgeMs: undefined });
    expect(server.seen[0]).toMatchObject({ 'user-agent': 'sluice' });
    expect(server.seen[0]).not.toHaveProperty('cache-control');
  });

  it('asks past caches when told to', async () => {
    server.reply = { body };
    await fetchFrom(source, true);
    expect(server.seen[0]).toMatchObject({ 'cache-control': 'no-cache' });
  });

  it('has a name without the query', () => {
    expect(source.name).toBe(server.url);
    expect(source.renewable).toBe(true);
  });

  it.each<[Record<string, string>, number | undefined]>([
    [{ 'cache-control': 'max-age=300' }, 300_000],
    [{ 'cache-control': 'public, Max-Age="60", must-revalidate' }, 60_000],
    [{ 'cache-control': 'max-age=300', age: '100' }, 200_000],
    [{ 'cache-control': 'max-age=300', age: '400' }, 0],
    [{ 'cache-control': 'max-age=300', age: 'old' }, 300_000],
    [{ 'cache-control': 'max-age=0' }, 0],
    [{ 'cache-control': 'no-cache, max-age=300' }, undefined],
    [{ 'cache-control': 'no-store' }, undefined],
    [{ 'cache-control': 's-maxage' }, undefined],
    [{ 'cache-control': 'max-age=-5' }, undefined],
    [{}, undefined],
  ])('reads from %j an age of %p ms', async (headers, maxAgeMs) => {
    server.reply = { headers, body };
    expect((await fetchFrom(source)).maxAgeMs).toBe(maxAgeMs);
  });

  it.each<[string, JwksReply, string]>([
    ['garbage', { body: '<html>' }, 'it is not JSON'],
    ['nothing', { body: '' }, 'it is not JSON'],
    ['half a document', { body: '{"keys":[' }, 'it is not JSON'],
    ['not found', { status: 404, body }, 'it answered 404'],
    ['an error', { status: 500, body }, 'it answered 500'],
    ['no content', { status: 204, body: '' }, 'it answered 204'],
    [
      'a redirect',
      { status: 302, headers: { location: '/other' }, body },
      'it answered 302, a redirect; name the URL that it leads to',
    ],
    ['too much', { body: Buffer.alloc(2 * maxJwksBytes, ' ') }, `it is larger than ${maxJwksBytes} bytes`],
  ])('refuses %s', async (_what, reply, message) => {
    server.reply = reply;
    await expect(fetchFrom(source)).rejects.toThrow(message);
    expect(server.seen).toHaveLength(1);
  });

  it('takes a document of just the largest size', async () => {
    server.reply = { body: Buffer.from(body.padEnd(maxJwksBytes)) };
    expect((await fetchFrom(source)).document).toEqual(document);
    server.reply = { body: Buffer.from(body.padEnd(maxJwksBytes + 1)) };
    await expect(fetchFrom(source)).rejects.toThrow('larger than');
  });

  it.each<JwksReply>(['hang', 'hang-in-body'])('can be given up: %s', async (reply) => {
    server.reply = reply;
    const controller = new AbortController();
    const fetched = source.fetch({ signal: controller.signal, uncached: false });
    await until(() => server.seen.length === 1);
    controller.abort(new Error('enough'));
    await expect(fetched).rejects.toThrow('enough');
    await until(() => server.connections === 0);
  });

  it('rejects where the connection is reset, or nobody listens', async () => {
    server.reply = 'reset';
    await expect(fetchFrom(source)).rejects.toThrow();
    const nobody = createJwksSource({ kind: 'uri', uri: `http://127.0.0.1:${await freePort()}/` }, httpGet);
    await expect(fetchFrom(nobody)).rejects.toThrow('ECONNREFUSED');
  });

  it('leaves no connection open', async () => {
    server.reply = { body };
    await fetchFrom(source);
    await until(() => server.connections === 0);
  });
});

describe('createJwksSource() of a file URL', () => {
  let folder: string;
  let source: JwksSource;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'sluice-jwks-'));
    file = path.join(folder, 'my keys.json');
    source = createJwksSource({ kind: 'uri', uri: pathToFileURL(file).href }, httpGet);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('reads the file anew each time, and wants to soon again', async () => {
    writeFileSync(file, body);
    expect(await fetchFrom(source)).toEqual({ document, maxAgeMs: 10_000 });
    writeFileSync(file, '{"keys":[]}');
    expect(await fetchFrom(source)).toEqual({ document: { keys: [] }, maxAgeMs: 10_000 });
    expect(source.name).toBe(file);
  });

  it('rejects for a file that is missing, garbage or too large, and for a folder', async () => {
    await expect(fetchFrom(source)).rejects.toThrow('ENOENT');
    writeFileSync(file, 'garbage');
    await expect(fetchFrom(source)).rejects.toThrow('it is not JSON');
    writeFileSync(file, body.padEnd(maxJwksBytes + 1));
    await expect(fetchFrom(source)).rejects.toThrow('larger than');
    writeFileSync(file, body.padEnd(maxJwksBytes));
    expect((await fetchFrom(source)).document).toEqual(document);
    const ofFolder = createJwksSource({ kind: 'uri', uri: pathToFileURL(folder).href }, httpGet);
    await expect(fetchFrom(ofFolder)).rejects.toThrow('it is no file');
  });
});

describe('createJwksSource() of a document at hand', () => {
  it('gives it, and says that there will be no other', async () => {
    const source = createJwksSource({ kind: 'inline', jwks: document }, httpGet);
    expect(await fetchFrom(source)).toEqual({ document, maxAgeMs: undefined });
    expect(source.renewable).toBe(false);
    expect(source.name).toBe('the configuration');
  });
});
