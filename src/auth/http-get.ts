/** One GET over a connection of its own: no redirects, a bounded body. */
import { Client } from 'undici';

export interface GetOptions {
  readonly headers: Readonly<Record<string, string>>;
  /** Ends the call. */
  readonly signal: AbortSignal;
  readonly maxBytes: number;
}

export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case; values of one name are joined with a comma. */
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined where it was larger than allowed. */
  readonly body: Buffer | undefined;
}

/** Rejects where there is no answer, or only a part of one. */
export type HttpGet = (url: URL, options: GetOptions) => Promise<HttpAnswer>;

/** A server that does not let anybody connect must not hold a socket for ever; the call itself ends by its signal. */
const connectTimeoutMs = 10_000;

/** The one that uses the network. */
export const httpGet: HttpGet = async (url, { headers, signal, maxBytes }) => {
  const client = new Client(url.origin, { connect: { timeout: connectTimeoutMs } });
  try {
    const response = await client.request({
      method: 'GET',
      path: `${url.pathname}${url.search}`,
      headers: { ...headers },
      signal,
    });
    return {
      status: response.statusCode,
      headers: joined(response.headers),
      body: await bounded(response.body, maxBytes),
    };
  } finally {
    void client.destroy();
  }
};

async function bounded(body: AsyncIterable<Uint8Array>, maxBytes: number): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    // Leaving the loop closes the connection.
    if (bytes > maxBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function joined(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value = '']) => [
      name,
      Array.isArray(value) ? value.join(', ') : value,
    ]),
  );
}
