import { describe, expect, it } from '@jest/globals';
import { ProtobufWriter } from '../../src/lib/protobuf-writer.ts';
import { decode } from '../support/proto.ts';

const responseType = 'envoy.service.ext_proc.v3.ProcessingResponse';

describe('ProtobufWriter', () => {
  it('writes nested messages that any decoder reads', () => {
    const writer = new ProtobufWriter();
    writer.begin(58).begin(10).uint(8, 404).end().bytes(26, Buffer.from('nö')).string(42, 'why').end();
    expect(decode(responseType, writer.finish())).toEqual({
      immediateResponse: { status: { code: 404 }, body: Buffer.from('nö'), details: 'why' },
    });
  });

  it('grows, and begins anew after each message', () => {
    const writer = new ProtobufWriter();
    const large = Buffer.alloc(3_000_000, 'x');
    for (const body of [large, Buffer.from('small')]) {
      writer.start().begin(58).bytes(26, body).string(42, 'é'.repeat(2000)).end();
      const { immediateResponse } = decode(responseType, writer.finish()) as {
        immediateResponse: { body: Buffer; details: string };
      };
      expect(body.equals(immediateResponse.body)).toBe(true);
      expect(immediateResponse.details).toBe('é'.repeat(2000));
    }
  });

  it('starts over after a message that was never finished', () => {
    const writer = new ProtobufWriter().begin(58).string(42, 'half');
    const message = writer.start().begin(58).string(42, 'whole').end().finish();
    expect(decode(responseType, message)).toEqual({ immediateResponse: { details: 'whole' } });
  });

  it.each([0, 1, 127, 128, 16_383, 16_384, 2 ** 32 - 1])('writes %d', (code) => {
    const writer = new ProtobufWriter().begin(58).begin(10).uint(8, code).end().end();
    expect(decode(responseType, writer.finish())).toEqual({ immediateResponse: { status: { code } } });
  });

  it('refuses what is out of balance', () => {
    expect(() => new ProtobufWriter().end()).toThrow('none was begun');
    expect(() => new ProtobufWriter().begin(10).finish()).toThrow('were not ended');
  });
});
