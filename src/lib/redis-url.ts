/** Where a Redis is, and how to say so without its password. */

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly db: number;
  readonly tls: boolean;
  /** The address as it may be shown to anybody. */
  readonly shown: string;
}

const defaultPort = 6379;

/**
 * Reads `redis://[[user]:password@]host[:port][/db]`, or `rediss://` for TLS.
 * @throws Error that never shows user or password.
 */
export function parseRedisUrl(url: string): RedisAddress {
  if (!URL.canParse(url)) refuse('it is not a URL', withoutCredentials(url));
  const { protocol, hostname, port, username, password, pathname } = new URL(url);
  const tls = protocol === 'rediss:';
  const shown = `${protocol}//${hostname}:${port === '' ? defaultPort : port}${pathname === '/' ? '' : pathname}`;
  if (protocol !== 'redis:' && !tls) refuse('it is neither redis:// nor rediss://', withoutCredentials(url));
  if (hostname === '') refuse('it has no host', withoutCredentials(url));
  if (port === '0') refuse('no server has port 0', shown);
  const db = /^(?:\/(\d*))?$/.exec(pathname);
  if (db === null) refuse(`"${pathname.slice(1)}" is not the number of a database`, shown);
  if (/[?#]/.test(url)) refuse('it goes on after the database, where nothing is read', shown);
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? defaultPort : Number(port),
    username: decoded(username, shown),
    password: decoded(password, shown),
    db: Number(db[1] ?? 0),
    tls,
    shown,
  };
}

/** Whether `parseRedisUrl` reads it. */
export function isRedisUrl(url: string): boolean {
  try {
    parseRedisUrl(url);
    return true;
  } catch {
    return false;
  }
}

function refuse(what: string, shown: string): never {
  throw new Error(`Cannot use the Redis "${shown}": ${what}; write redis://host:6379 or rediss://host:6379`);
}

function decoded(part: string, shown: string): string | undefined {
  if (part === '') return undefined;
  try {
    return decodeURIComponent(part);
  } catch {
    refuse('in user and password, % begins the code of a character and is written %25 itself', shown);
  }
}

/** Of something that need not be a URL: all that stands before the last @ may be secret. */
function withoutCredentials(text: string): string {
  return text.replace(/^([a-z]+:\/\/)?.*@/is, '$1…@');
}
