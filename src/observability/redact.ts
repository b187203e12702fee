/** Keeps secrets out of logs: which headers are secret, and what may be shown of them. */

const secretHeaders: ReadonlySet<string> = new Set([
  'authorization',
  'proxy-authorization',
  'x-api-key',
  'api-key',
  'x-auth-token',
  'auth-token',
  'x-access-token',
  'access-token',
  'cookie',
  'set-cookie',
]);

const mask = '****';
/** A shorter value would give away more than a third of itself. */
const shortestWithHint = 12;

/**
 * The header's value as it may be logged: `Bearer ****` for credentials with a scheme, the first four characters of
 * other long secrets, to tell keys apart, and `****` for short ones. Other headers are returned as they are.
 */
export function redactHeader(name: string, value: string): string {
  if (!secretHeaders.has(name.toLowerCase())) return value;
  const scheme = /^(Bearer|Basic|Token)\s/i.exec(value);
  if (scheme !== null) return `${scheme[1] ?? ''} ${mask}`;
  return value.length < shortestWithHint ? mask : `${value.slice(0, 4)}${mask}`;
}

/** Paths in log records that are removed whatever they hold, should a record carry headers by mistake. */
export const secretLogPaths: readonly string[] = [...secretHeaders].flatMap((name) => [
  `["${name}"]`,
  `headers["${name}"]`,
  `*.headers["${name}"]`,
]);
