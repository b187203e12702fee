/** Small words of Envoy's configuration language. */

/** An extension's configuration: its fields under the name of its message. */
export function typed(message: string, fields: object = {}): object {
  return { '@type': `type.googleapis.com/${message}`, ...fields };
}

/** A named extension with its configuration. */
export function extension(name: string, message: string, fields: object = {}): object {
  return { name, typed_config: typed(message, fields) };
}

/** A duration as Envoy reads it. */
export function duration(ms: number): string {
  return `${ms / 1000}s`;
}
