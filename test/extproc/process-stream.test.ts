import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { constants, createServer, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { takeStreams, type ProcessStream } from '../../src/extproc/process-stream.ts';
import { framed, GrpcWire } from '../support/grpc-wire.ts';
import { until } from '../support/until.ts';

const path = '/the.Service/Method';
const maxMessageBytes = 1000;

/** What one taken stream saw. */
interface Taken {
  readonly stream: ProcessStream;
  readonly messages: string[];
  closes: number;
}

let server: Http2Server;
let wire: GrpcWire;
let taken: Taken[];
/** Paths of the streams that were left to the listener that was there before. */
let left: string[];

beforeEach(async () => {
  taken = [];
  left = [];
  server = createServer();
  server.on('stream', (stream, headers) => {
    left.push(String(headers[':path']));
    stream.respond({ ':status': 200, 'grpc-status': '12' }, { endStream: true });
  });
  takeStreams(server, path, maxMessageBytes, (stream) => {
    const entry: Taken = { stream, messages: [], closes: 0 };
    taken.push(entry);
    return {
      message(bytes) {
        if (bytes.toString() === 'throw') throw new Error('a message that cannot be read');
        entry.messages.push(bytes.toString('latin1'));
      },
      close() {
        entry.closes++;
      },
    };
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  wire = new GrpcWire((server.address() as AddressInfo).port);
});

afterEach(async () => {
  await wire.close();
  await new Promise((resolve) => server.close(resolve));
});

describe('takeStreams() cuts what arrives into messages', () => {
  const messages = ['one', '', 'x'.repeat(300), 'last'];
  const bytes = Buffer.concat(messages.map((message) => framed(message)));

  it('wherever it is split in two', async () => {
    for (let split = 0; split <= bytes.length; split++) {
      const client = wire.open(path);
      await client.write(bytes.subarray(0, split));
      await client.write(bytes.subarray(split));
      client.end();
      expect(await client.status).toBe('0');
      expect(taken[split]?.messages).toEqual(messages);
    }
  });

  it('when every byte comes alone', async () => {
    const client = wire.open(path);
    for (const byte of bytes) await client.write(Buffer.from([byte]));
    expect(taken[0]?.messages).toEqual(messages);
  });

  it('as soon as a message is whole, and not before', async () => {
    const client = wire.open(path);
    await client.write(framed('abc').subarray(0, 7));
    expect(taken[0]?.messages).toEqual([]);
    await client.write(Buffer.concat([framed('abc').subarray(7), framed('def').subarray(0, 3)]));
    expect(taken[0]?.messages).toEqual(['abc']);
  });

  it('and drops what is left of one at the half-close', async () => {
    const client = wire.open(path);
    await client.write(framed('abc').subarray(0, 7));
    client.end();
    expect(await client.status).toBe('0');
    expect(taken[0]).toMatchObject({ messages: [], closes: 1 });
  });
});

describe('takeStreams() ends a stream', () => {
  it('with OK at the half-close, at once, also where nothing was said', async () => {
    const client = wire.open(path);
    client.end();
    expect(await client.status).toBe('0');
    expect(taken[0]?.closes).toBe(1);
    await client.closed;
    expect(taken[0]?.closes).toBe(1);
  });

  it('with OK from our side, after what was sent', async () => {
    const client = wire.open(path);
    await client.write(framed('a'));
    taken[0]!.stream.send(Buffer.from('answer'));
    taken[0]!.stream.end();
    expect(await client.status).toBe('0');
    expect(client.messages.map(String)).toEqual(['answer']);
  });

  it.each<[string, Buffer, string]>([
    ['RESOURCE_EXHAUSTED for a message that is too large', framed('x'.repeat(maxMessageBytes + 1)), '8'],
    ['RESOURCE_EXHAUSTED by the length alone', Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), '8'],
    ['UNIMPLEMENTED for a compressed message', framed('x', 1), '12'],
    ['INTERNAL for a message that cannot be read', framed('throw'), '13'],
  ])('with %s', async (_, bytes, status) => {
    const client = wire.open(path);
    await client.write(framed('fine'));
    await client.write(Buffer.concat([bytes, framed('never seen')]));
    expect(await client.status).toBe(status);
    // The client has not half-closed: nothing but the failure ends the exchange.
    expect(taken[0]).toMatchObject({ messages: ['fine'], closes: 1 });
    await client.write(framed('never seen either'));
    client.stream.close();
    await client.closed;
    expect(taken[0]).toMatchObject({ messages: ['fine'], closes: 1 });
  });

  it('but takes the largest message that is allowed', async () => {
    const client = wire.open(path);
    await client.write(framed('x'.repeat(maxMessageBytes)));
    expect(taken[0]?.messages).toEqual(['x'.repeat(maxMessageBytes)]);
  });

  it.each([constants.NGHTTP2_CANCEL, constants.NGHTTP2_INTERNAL_ERROR, constants.NGHTTP2_NO_ERROR])(
    'once, when it is reset with code %i',
    async (code) => {
      const client = wire.open(path);
      await client.write(framed('a'));
      client.stream.close(code);
      await until(() => taken[0]?.closes === 1);
      await wire.ping();
      expect(taken[0]?.closes).toBe(1);
    },
  );

  it('once, when the connection is gone', async () => {
    const client = wire.open(path);
    await client.write(framed('a'));
    wire.session.destroy();
    await until(() => taken[0]?.closes === 1);
  });
});

describe('takeStreams() sends', () => {
  it('messages with their prefix, whatever their length', async () => {
    const client = wire.open(path);
    await client.write(framed('a'));
    const { stream } = taken[0]!;
    const sent = [Buffer.alloc(0), Buffer.from('short'), Buffer.alloc(200_000, 7)];
    for (const message of sent) stream.send(message);
    await client.message(2);
    expect(client.messages).toEqual(sent);
  });

  it('nothing after the end, and takes no harm', async () => {
    const client = wire.open(path);
    await client.write(framed('a'));
    const { stream } = taken[0]!;
    stream.end();
    stream.send(Buffer.from('late'));
    stream.end();
    expect(await client.status).toBe('0');
    expect(client.messages).toEqual([]);
    client.stream.close();
    await client.closed;
    stream.send(Buffer.from('later'));
    stream.end();
  });
});

describe('takeStreams() leaves to others', () => {
  it.each([
    ['another method', '/the.Service/Other', {}],
    ['compressed messages', path, { 'grpc-encoding': 'gzip' }],
    ['another content type', path, { 'content-type': 'application/json' }],
  ])('%s', async (_, itsPath, headers) => {
    expect(await wire.open(itsPath, headers).status).toBe('12');
    expect([taken.length, left]).toEqual([0, [itsPath]]);
  });

  it.each([{ 'grpc-encoding': 'identity' }, { 'content-type': 'application/grpc+proto' }])(
    'but not %j',
    async (headers: Record<string, string>) => {
      const client = wire.open(path, headers);
      client.end();
      expect(await client.status).toBe('0');
      expect([taken.length, left]).toEqual([1, []]);
    },
  );

  it('and refuses a server where there are no others', () => {
    expect(() =>
      takeStreams(createServer(), path, 1, () => ({ message: () => undefined, close: () => undefined })),
    ).toThrow('Cannot take over ext_proc streams: grpc-js listens to none');
  });
});
