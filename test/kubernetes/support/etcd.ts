/** Reaches behind the API server, to change what it cannot see changing. */
import { request } from 'undici';

export interface Etcd {
  /** Removes an object, e.g. `pods/default/a`, without the API server. */
  remove(key: string): Promise<void>;
  /** Forgets every state but the current one. */
  compact(): Promise<void>;
}

/** Speaks to an etcd by its JSON gateway. */
export function createEtcd(url: string): Etcd {
  async function call(method: string, body: object): Promise<unknown> {
    const answer = await request(`${url}/v3/kv/${method}`, { method: 'POST', body: JSON.stringify(body) });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`Cannot ${method} in etcd: ${text}`);
    return JSON.parse(text);
  }
  const base64 = (text: string): string => Buffer.from(text).toString('base64');

  return {
    async remove(key) {
      const { deleted } = (await call('deleterange', { key: base64(`/registry/${key}`) })) as {
        deleted?: string;
      };
      if (deleted !== '1') throw new Error(`Cannot remove "${key}" from etcd: there is no such key`);
    },
    async compact() {
      const { header } = (await call('range', { key: base64('/') })) as { header: { revision: string } };
      await call('compaction', { revision: header.revision, physical: true });
    },
  };
}
