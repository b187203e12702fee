import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  decodeFrame,
  emptyAnswer,
  encodeImmediateResponse,
  encodeReplacedBody,
  encodeRequestMutation,
  encodeResponseHeaders,
  encodeStreamedBody,
  encodeTimeoutOverride,
  streamResponseBody,
} from '../../src/extproc/codec.ts';
import { decode, encode } from '../support/proto.ts';

const requestType = 'envoy.service.ext_proc.v3.ProcessingRequest';
const responseType = 'envoy.service.ext_proc.v3.ProcessingResponse';

function headerMap(fields: Record<string, string>): object {
  return {
    headers: Object.entries(fields).map(([key, value]) => ({ key, rawValue: Buffer.from(value, 'latin1') })),
  };
}

describe('decodeFrame()', () => {
  it('reads request headers, their end and the protocol configuration', () => {
    const frame = decodeFrame(
      encode(requestType, {
        requestHeaders: {
          headers: headerMap({ ':method': 'POST', ':path': '/v1/chat/completions', 'x-a': 'é' }),
          endOfStream: true,
        },
        protocolConfig: { requestBodyMode: 'FULL_DUPLEX_STREAMED', responseBodyMode: 'STREAMED' },
      }),
    );
    expect(frame).toMatchObject({
      kind: 'request-headers',
      endOfStream: true,
      protocol: { requestBody: 'full-duplex', responseBody: 'streamed' },
    });
    if (frame.kind !== 'request-headers') throw new Error('unreachable');
    expect(frame.headers.get(':path')).toBe('/v1/chat/completions');
    expect(frame.headers.get('x-a')).toBe('é');
  });

  it('reads response headers and attributes', () => {
    const frame = decodeFrame(
      encode(requestType, {
        responseHeaders: { headers: headerMap({ ':status': '200' }) },
        attributes: {
          'envoy.filters.http.ext_proc': {
            fields: {
              'upstream.address': { stringValue: '10.0.0.1:8000' },
              'upstream.request_attempt_count': { numberValue: 2 },
            },
          },
        },
      }),
    );
    expect(frame).toMatchObject({
      kind: 'response-headers',
      endOfStream: false,
      attributes: { 'upstream.address': '10.0.0.1:8000', 'upstream.request_attempt_count': 2 },
      protocol: undefined,
    });
  });

  describe('reads metadata', () => {
    const jwt = 'envoy.filters.http.jwt_authn';
    const metadataContext = {
      filterMetadata: {
        other: { fields: { a: { numberValue: 1 } } },
        [jwt]: {
          fields: {
            payload: {
              structValue: {
                fields: {
                  sub: { stringValue: 'ä' },
                  exp: { numberValue: 1.5 },
                  aud: { listValue: { values: [{ stringValue: 'x' }, { boolValue: true }] } },
                },
              },
            },
          },
        },
        empty: {},
      },
    };

    function metadataOf(message: Buffer) {
      const frame = decodeFrame(message);
      if (frame.kind !== 'request-headers' && frame.kind !== 'response-headers') throw new Error(frame.kind);
      return frame.metadata;
    }

    it('of a namespace', () => {
      const metadata = metadataOf(encode(requestType, { requestHeaders: {}, metadataContext }));
      expect(metadata?.(jwt)).toEqual({ payload: { sub: 'ä', exp: 1.5, aud: ['x', true] } });
      expect(metadata?.('other')).toEqual({ a: 1 });
      expect(metadata?.('empty')).toEqual({});
      expect(metadata?.('nobody')).toBeUndefined();
    });

    it('also when the memory of the message was used again', () => {
      const message = encode(requestType, { metadataContext, requestHeaders: {} });
      const metadata = metadataOf(message);
      message.fill(0);
      expect(metadata?.('other')).toEqual({ a: 1 });
    });

    it.each([
      ['there is none', { requestHeaders: {} }],
      ['there is no namespace in it', { requestHeaders: {}, metadataContext: {} }],
      ['it comes again with the response', { responseHeaders: {}, metadataContext }],
    ])('not where %s', (_, message) => {
      expect(metadataOf(encode(requestType, message))).toBeUndefined();
    });

    it('and refuses what is longer than its message', () => {
      expect(() => decodeFrame(Buffer.from([0x12, 0x00, 0x42, 0x7f]))).toThrow(RangeError);
    });
  });

  it.each([
    ['requestBody', 'request-body'],
    ['responseBody', 'response-body'],
  ])('reads a %s chunk without copying it', (field, kind) => {
    const message = encode(requestType, { [field]: { body: Buffer.from('hello'), endOfStream: true } });
    const frame = decodeFrame(message);
    expect(frame).toMatchObject({ kind, endOfStream: true });
    if (frame.kind !== 'request-body' && frame.kind !== 'response-body') throw new Error('unreachable');
    expect(frame.body.toString()).toBe('hello');
    expect(frame.body.buffer).toBe(message.buffer);
  });

  it.each([
    ['requestTrailers', 'request-trailers'],
    ['responseTrailers', 'response-trailers'],
  ])('reads %s', (field, kind) => {
    expect(decodeFrame(encode(requestType, { [field]: { trailers: headerMap({ a: 'b' }) } })).kind).toBe(
      kind,
    );
  });

  it('reads what it does not know as unknown', () => {
    expect(decodeFrame(Buffer.from([0xfa, 0x06, 0x00])).kind).toBe('unknown');
    expect(decodeFrame(Buffer.alloc(0)).kind).toBe('unknown');
  });

  it('throws on bytes that are no message, and never hangs', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          decodeFrame(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
    );
  });

  it('agrees with the proto for any headers', () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
    const value = fc.stringMatching(/^[ -~]{0,40}$/);
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 20 }), (pairs) => {
        const headers = pairs.map(([key, text]) => ({ key, rawValue: Buffer.from(text) }));
        const frame = decodeFrame(encode(requestType, { requestHeaders: { headers: { headers } } }));
        if (frame.kind !== 'request-headers') throw new Error('unreachable');
        for (const [key] of pairs) {
          expect(frame.headers.getAll(key)).toEqual(
            pairs.filter(([other]) => other === key).map(([, text]) => text),
          );
        }
      }),
    );
  });
});

describe('emptyAnswer', () => {
  it.each([
    ['request-headers', { requestHeaders: {} }],
    ['response-headers', { responseHeaders: {} }],
    ['request-body', { requestBody: {} }],
    ['response-body', { responseBody: {} }],
    ['request-trailers', { requestTrailers: {} }],
    ['response-trailers', { responseTrailers: {} }],
  ] as const)('%s answers that message and changes nothing', (kind, message) => {
    expect(decode(responseType, emptyAnswer[kind])).toEqual(message);
  });
});

describe('encodeRequestMutation()', () => {
  it.each([
    ['request-headers', 'requestHeaders'],
    ['request-body', 'requestBody'],
  ] as const)('answers %s with headers, body and metadata', (answers, field) => {
    const bytes = encodeRequestMutation(answers, {
      setHeaders: { 'x-gateway-destination-endpoint': '10.0.0.1:8000,10.0.0.2:8000' },
      removeHeaders: ['x-sluice-user'],
      body: Buffer.from('{"model":"m"}'),
      metadata: {
        'envoy.lb': { 'x-gateway-destination-endpoint': '10.0.0.1:8000' },
        sluice: { exchange: 'id', n: 1 },
      },
    });
    expect(decode(responseType, bytes)).toEqual({
      [field]: {
        response: {
          headerMutation: {
            setHeaders: [
              {
                header: {
                  key: 'x-gateway-destination-endpoint',
                  rawValue: Buffer.from('10.0.0.1:8000,10.0.0.2:8000'),
                },
                appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD',
              },
            ],
            removeHeaders: ['x-sluice-user'],
          },
          bodyMutation: { body: Buffer.from('{"model":"m"}') },
        },
      },
      dynamicMetadata: {
        fields: {
          'envoy.lb': {
            structValue: { fields: { 'x-gateway-destination-endpoint': { stringValue: '10.0.0.1:8000' } } },
          },
          sluice: { structValue: { fields: { exchange: { stringValue: 'id' }, n: { numberValue: 1 } } } },
        },
      },
    });
  });
});

describe('encodeResponseHeaders()', () => {
  const none = { remove: [], set: {}, append: {} };

  it('answers with headers to remove, to set and to append, in ISO 8859-1', () => {
    const changes = { remove: ['server'], set: { 'x-a': 'é', 'x-b': '' }, append: { vary: 'origin' } };
    expect(decode(responseType, encodeResponseHeaders(changes, false))).toEqual({
      responseHeaders: {
        response: {
          headerMutation: {
            removeHeaders: ['server'],
            setHeaders: [
              {
                header: { key: 'x-a', rawValue: Buffer.from([0xe9]) },
                appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD',
              },
              {
                header: { key: 'x-b', rawValue: Buffer.alloc(0) },
                appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD',
              },
              { header: { key: 'vary', rawValue: Buffer.from('origin') }, append: { value: true } },
            ],
          },
        },
      },
    });
  });

  it('carries the same mode override as streamResponseBody', () => {
    const { modeOverride } = decode(responseType, streamResponseBody);
    expect(decode(responseType, encodeResponseHeaders(none, true))).toEqual({
      responseHeaders: { response: { headerMutation: {} } },
      modeOverride,
    });
  });
});

describe('encodeStreamedBody()', () => {
  it('carries a chunk and the end', () => {
    expect(decode(responseType, encodeStreamedBody('request-body', Buffer.from('abc'), true))).toEqual({
      requestBody: {
        response: { bodyMutation: { streamedResponse: { body: Buffer.from('abc'), endOfStream: true } } },
      },
    });
    expect(decode(responseType, encodeStreamedBody('response-body', Buffer.alloc(0), false))).toEqual({
      responseBody: { response: { bodyMutation: { streamedResponse: {} } } },
    });
  });
});

describe('encodeReplacedBody()', () => {
  it.each([
    ['other bytes', Buffer.from('abc'), { body: Buffer.from('abc') }],
    ['nothing', Buffer.alloc(0), { clearBody: true }],
  ])('answers a chunk of a streamed response with %s', (_, body, bodyMutation) => {
    const answer = { responseBody: { response: { bodyMutation } } };
    expect(decode(responseType, encodeReplacedBody(body))).toEqual(answer);
    // The writer is shared: one message says nothing of the last one.
    encodeStreamedBody('request-body', Buffer.from('abc'), true);
    expect(decode(responseType, encodeReplacedBody(body))).toEqual(answer);
  });
});

describe('encodeImmediateResponse()', () => {
  it('carries status, headers, body and details', () => {
    expect(
      decode(
        responseType,
        encodeImmediateResponse(404, { 'content-type': 'application/json' }, '{}', 'sluice_x'),
      ),
    ).toEqual({
      immediateResponse: {
        status: { code: 404 },
        headers: {
          setHeaders: [
            {
              header: { key: 'content-type', rawValue: Buffer.from('application/json') },
              appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD',
            },
          ],
        },
        body: Buffer.from('{}'),
        details: 'sluice_x',
      },
    });
  });
});

describe('encodeTimeoutOverride()', () => {
  it('writes seconds and nanoseconds', () => {
    expect(decode(responseType, encodeTimeoutOverride(90_500))).toEqual({
      overrideMessageTimeout: { seconds: 90, nanos: 500_000_000 },
    });
  });
});

describe('streamResponseBody', () => {
  it('spells out every mode, as an override must', () => {
    expect(decode(responseType, streamResponseBody)).toEqual({
      responseHeaders: {},
      modeOverride: {
        responseHeaderMode: 'SEND',
        requestBodyMode: 'BUFFERED',
        responseBodyMode: 'STREAMED',
        requestTrailerMode: 'SKIP',
        responseTrailerMode: 'SEND',
      },
    });
  });
});
