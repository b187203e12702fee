import { connect } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createAdminServer, type AdminRoute, type AdminServer } from '../../src/admin/http.ts';

let servers: AdminServer[] = [];
let errors: [unknown, string][] = [];

afterEach(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  servers = [];
  errors = [];
});

const boom = new Error('secret detail');
const routes: readonly AdminRoute[] = [
  {
    path: '/json',
    description: 'An <object>',
    answer: (query) => ({ status: 200, body: { n: query.get('n') } }),
  },
  { path: '/text', description: 'Text', answer: async () => ({ status: 503, body: 'busy\n' }) },
  {
    path: '/boom',
    description: 'A bug',
    answer: () => {
      throw boom;
    },
  },
];

function create(options: { host?: string; port?: number } = {}): AdminServer {
  const onError = (error: unknown, path: string) => void errors.push([error, path]);
  const server = createAdminServer({ routes, port: 0, onError, ...options });
  servers.push(server);
  return server;
}

describe('createAdminServer()', () => {
  it('answers objects as JSON and strings as text', async () => {
    const url = await create().start();
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    const json = await fetch(`${url}/json?n=5`);
    expect(json.headers.get('content-type')).toBe('application/json');
    expect(json.headers.get('cache-control')).toBe('no-store');
    expect(await json.json()).toEqual({ n: '5' });
    const text = await fetch(`${url}/text`);
    expect([text.status, text.headers.get('content-type'), await text.text()]).toEqual([
      503,
      'text/plain; charset=utf-8',
      'busy\n',
    ]);
  });

  it('lists its pages at the root', async () => {
    const page = await (await fetch(`${await create().start()}/`)).text();
    expect(page).toContain('<a href="/json">/json</a> An &lt;object>');
    expect(page).toContain('<a href="/text">/text</a> Text');
  });

  it('answers HEAD without a body', async () => {
    const answer = await fetch(`${await create().start()}/json`, { method: 'HEAD' });
    expect([answer.status, answer.headers.get('content-length'), await answer.text()]).toEqual([
      200,
      '16',
      '',
    ]);
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS'])('refuses %s', async (method) => {
    const answer = await fetch(`${await create().start()}/json`, { method });
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    expect(await answer.json()).toEqual({ error: `method ${method} is not allowed` });
  });

  it.each(['/nothing', '/json/', '//json', '/JSON'])('does not know %s', async (path) => {
    const answer = await fetch((await create().start()) + path);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toEqual({ error: 'no such page; "/" lists them all' });
  });

  it('hides what went wrong in a page and reports it', async () => {
    const answer = await fetch(`${await create().start()}/boom`);
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain('secret');
    expect(errors).toEqual([[boom, '/boom']]);
  });

  it('says clearly that a port is taken', async () => {
    const { port } = new URL(await create().start());
    await expect(create({ port: Number(port) }).start()).rejects.toThrow(
      `Cannot serve the admin pages on "127.0.0.1:${port}": the port is in use; stop its owner or choose another port`,
    );
  });

  it('says clearly that an address is not of this machine', async () => {
    await expect(create({ host: '192.0.2.1' }).start()).rejects.toThrow('this machine has no such address');
  });

  it('serves IPv6', async () => {
    const url = await create({ host: '::1' }).start();
    expect(url).toMatch(/^http:\/\/\[::1\]:\d+$/);
    expect((await fetch(`${url}/json`)).status).toBe(200);
  });

  it('stops with open connections, and may be stopped twice', async () => {
    const server = create();
    const { port } = new URL(await server.start());
    const socket = connect(Number(port), '127.0.0.1');
    await new Promise((resolve) => socket.once('connect', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve).resume());
    socket.on('error', () => undefined);
    await server.stop();
    await closed;
    await server.stop();
  });
});
