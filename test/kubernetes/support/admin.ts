/** Changes what a real API server has, as its administrator. */
import { Agent, request } from 'undici';
import type { ApiServer } from './api-server.ts';

export interface Admin {
  /** POST to a collection such as `/api/v1/namespaces/default/pods`. */
  create(path: string, object: object): Promise<void>;
  /** Merges into an object; a status has a path of its own. */
  patch(path: string, change: object): Promise<void>;
  /** Deletes an object. Without `graceSeconds` the API server decides how long it takes. */
  remove(path: string, graceSeconds?: number): Promise<void>;
  read(path: string): Promise<unknown>;
  namespace(name: string): Promise<void>;
  /** Resolves once the API server serves a collection, as it does some time after its CRD was created. */
  served(path: string): Promise<void>;
  close(): Promise<void>;
}

/** Creates an administrator; it connects when needed. */
export function createAdmin(server: ApiServer): Admin {
  const dispatcher = new Agent({ connect: { ca: server.ca }, connections: 20 });

  async function call(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: object,
  ): Promise<unknown> {
    const { statusCode, text } = await answer(method, path, body);
    if (statusCode < 300) return JSON.parse(text);
    throw new Error(`Cannot ${method} "${path}": ${statusCode}: ${text}`);
  }

  async function answer(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body?: object,
  ): Promise<{ statusCode: number; text: string }> {
    const { statusCode, body: answered } = await request(`${server.url}${path}`, {
      method,
      dispatcher,
      headers: {
        authorization: `Bearer ${server.tokenOf('admin')}`,
        'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    return { statusCode, text: await answered.text() };
  }

  return {
    async create(path, object) {
      await call('POST', path, object);
    },
    async patch(path, change) {
      await call('PATCH', path, change);
    },
    async remove(path, graceSeconds) {
      await call('DELETE', path, graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds });
    },
    read: (path) => call('GET', path),
    async namespace(name) {
      await call('POST', '/api/v1/namespaces', { metadata: { name } });
    },
    async served(path) {
      while ((await answer('GET', path)).statusCode === 404);
    },
    close: () => dispatcher.destroy(),
  };
}
