/** Reads `--static-backends` and `--static-models`: comma lists that belong together item by item. */
import { isIP } from 'node:net';

/** One engine as the operator wrote it. */
export interface StaticBackend {
  /** IP address without brackets, or a DNS name. */
  readonly host: string;
  /** True where `host` is a name to be resolved. */
  readonly isName: boolean;
  readonly port: number;
  readonly tls: boolean;
  /** Empty: ask the engine. */
  readonly models: readonly string[];
}

/**
 * Parses the two lists. Each backend is `http://` or `https://`, a host and an optional port (80 and 443 otherwise);
 * without models every engine is asked what it serves. Throws an Error that names the first wrong item.
 */
export function parseBackends(urls: string, models: string | undefined): readonly StaticBackend[] {
  const items = splitList(urls);
  if (items.length === 0) throw new Error('Cannot use --static-backends "": name at least one engine');
  const modelItems = models === undefined ? undefined : splitList(models);
  if (modelItems !== undefined && modelItems.length !== items.length) {
    throw new Error(
      `Cannot match --static-models to --static-backends: ${count(modelItems.length, 'model')} for ` +
        `${count(items.length, 'backend')}. Give one model per backend, in the same order, or leave --static-models ` +
        'out to ask the engines',
    );
  }
  const seen = new Map<string, string>();
  return items.map((item, index) => {
    const model = modelItems?.[index];
    if (model === '')
      throw new Error(`Cannot use --static-models "${models ?? ''}": item ${index + 1} is empty`);
    const backend = parseBackend(item, model === undefined ? [] : [model]);
    const key = `${backend.host}:${backend.port}`;
    const earlier = seen.get(key);
    if (earlier !== undefined) throw refused(item, `it is the same engine as "${earlier}"`);
    seen.set(key, item);
    return backend;
  });
}

/** Items without surrounding blanks. A trailing comma is no item; an empty item in between is one, to be refused. */
function splitList(text: string): string[] {
  const items = text.split(',').map((item) => item.trim());
  if (items.at(-1) === '') items.pop();
  return items;
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}

function parseBackend(text: string, models: readonly string[]): StaticBackend {
  if (text === '') throw refused(text, 'the item is empty; remove the extra comma');
  if (!/^https?:\/\//i.test(text)) {
    throw refused(withoutSecrets(text), 'write it as "http://host:port" or "https://host:port"');
  }
  const url = URL.parse(text);
  if (url === null) throw refused(withoutSecrets(text), 'it is not a URL; the port must be 1 to 65535');
  if (url.username !== '' || url.password !== '') {
    throw refused(withoutSecrets(text), 'a URL must not hold a user name or password');
  }
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '') {
    const extra = `${url.pathname === '/' ? '' : url.pathname}${url.search}${url.hash}`;
    throw refused(text, `only host and port belong here; remove "${extra}"`);
  }
  const tls = url.protocol === 'https:';
  const port = url.port === '' ? (tls ? 443 : 80) : Number(url.port);
  if (port === 0) throw refused(text, 'the port must be 1 to 65535');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { host, isName: isIP(host) === 0, port, tls, models };
}

function refused(shown: string, problem: string): Error {
  return new Error(`Cannot use backend "${shown}": ${problem}`);
}

/** What stands before an `@` may be a password. */
function withoutSecrets(text: string): string {
  return text.replace(/[^/@]*@/g, '****@');
}
