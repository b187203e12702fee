/** Addresses as operators write them, `host:port` or `unix:/path`, and as Envoy's configuration wants them. */
import { isIP, isIPv6 } from 'node:net';

export type SocketAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

/** @throws Error when the text is neither `host:port` (`[v6]:port`, `:port`) nor `unix:/path`. */
export function parseSocketAddress(text: string): SocketAddress {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '');
    if (!path.startsWith('/'))
      throw new Error(`Cannot use address "${text}": the path after "unix:" must be absolute`);
    return { kind: 'unix', path };
  }
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535 || (match?.[1] !== undefined && !isIPv6(host))) {
    throw new Error(`Cannot use address "${text}": expected host:port, [ipv6]:port or unix:/path`);
  }
  return { kind: 'tcp', host: host === '' ? '0.0.0.0' : host, port };
}

/** Whether Envoy can use the address without asking DNS. */
export function isNumeric(address: SocketAddress): boolean {
  return address.kind === 'unix' || isIP(address.host) !== 0 || address.host === 'localhost';
}

/** The address as envoy.config.core.v3.Address. */
export function envoyAddress(address: SocketAddress): object {
  if (address.kind === 'unix') return { pipe: { path: address.path, mode: 0o600 } };
  const host = address.host === 'localhost' ? '127.0.0.1' : address.host;
  return {
    socket_address: { address: host, port_value: address.port, ...(host === '::' && { ipv4_compat: true }) },
  };
}
