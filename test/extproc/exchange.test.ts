import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ExtProcExchange } from '../../src/extproc/exchange.ts';
import type { Frame, ProtocolConfig } from '../../src/extproc/frame.ts';
import { Headers } from '../../src/lib/headers.ts';
import { ClientGone, type BodyFilter, type Route } from '../../src/request/exchange.ts';
import { decode } from '../support/proto.ts';

const buffered: ProtocolConfig = { requestBody: 'buffered', responseBody: 'none' };
const duplex: ProtocolConfig = { requestBody: 'full-duplex', responseBody: 'full-duplex' };

const route: Route = {
  destinations: ['10.0.0.1:8000', '10.0.0.2:8000'],
  model: 'm',
  edits: [],
  removeHeaders: [],
  setHeaders: {},
};

function headers(
  kind: 'request-headers' | 'response-headers',
  protocol?: ProtocolConfig,
  endOfStream = false,
): Frame & { kind: typeof kind } {
  const fields: Record<string, string> =
    kind === 'request-headers' ? { ':method': 'POST', ':path': '/v1/completions' } : { ':status': '200' };
  const attributes =
    kind === 'response-headers'
      ? { 'upstream.address': '10.0.0.2:8000', 'upstream.request_attempt_count': 2 }
      : undefined;
  return { kind, headers: Headers.of(fields), endOfStream, attributes, protocol, metadata: undefined };
}

function chunk(kind: 'request-body' | 'response-body', text: string, endOfStream: boolean): Frame {
  return { kind, body: Buffer.from(text), endOfStream };
}

function open(protocol: ProtocolConfig | undefined, endOfStream = false) {
  const sent: Record<string, unknown>[] = [];
  const exchange = new ExtProcExchange(headers('request-headers', protocol, endOfStream), {
    send: (message) => sent.push(decode('envoy.service.ext_proc.v3.ProcessingResponse', message)),
  });
  /** Which answers were sent, by name. */
  const answers = () => sent.map((message) => Object.keys(message)[0]);
  return { exchange, sent, answers };
}

describe('ExtProcExchange in BUFFERED mode', () => {
  it('need not keep a body that is sent on as it came', async () => {
    const kept = open(duplex);
    const dropped = open(buffered);
    for (const { exchange } of [kept, dropped]) {
      const body = exchange.body(100);
      exchange.receive(chunk('request-body', '{"model":"m"}', true));
      await body;
      exchange.dropBody();
      exchange.route(route);
    }
    // Envoy has it still in one mode, and not in the other.
    expect(JSON.stringify(dropped.sent.at(-1))).not.toContain('bodyMutation');
    expect(kept.sent.at(-1)).toMatchObject({
      requestBody: {
        response: { bodyMutation: { streamedResponse: { body: Buffer.from('{"model":"m"}') } } },
      },
    });
  });

  it('answers the head at once, decides on the body, and owes nothing more', async () => {
    const { exchange, sent, answers } = open(buffered);
    const body = exchange.body(100);
    expect(answers()).toEqual(['requestHeaders']);
    exchange.receive(chunk('request-body', '{"model":"m"}', true));
    expect((await body).toString()).toBe('{"model":"m"}');
    exchange.route(route);
    expect(answers()).toEqual(['requestHeaders', 'requestBody']);
    expect(sent[0]).toEqual({ requestHeaders: {}, dynamicMetadata: exchangeIdOf(exchange) });
    expect(sent[1]).toMatchObject({
      dynamicMetadata: {
        fields: {
          'envoy.lb': {
            structValue: {
              fields: { 'x-gateway-destination-endpoint': { stringValue: '10.0.0.1:8000,10.0.0.2:8000' } },
            },
          },
          sluice: { structValue: { fields: { model: { stringValue: 'm' } } } },
        },
      },
    });
    exchange.receive(headers('response-headers'));
    expect(await exchange.responseHead()).toMatchObject({
      status: 200,
      servedBy: '10.0.0.2:8000',
      attempts: 2,
    });
    const end = exchange.finish(undefined);
    expect(answers()).toEqual(['requestHeaders', 'requestBody', 'responseHeaders']);
    exchange.close();
    expect(await end).toEqual({ bodyComplete: undefined });
  });

  it('takes the one body message as whole although trailers follow, and answers the trailers', async () => {
    const { exchange, answers } = open(undefined);
    const body = exchange.body(100);
    exchange.receive(chunk('request-body', 'x', false));
    await body;
    exchange.route(route);
    exchange.receive({ kind: 'request-trailers' });
    expect(answers()).toEqual(['requestHeaders', 'requestBody', 'requestTrailers']);
  });

  it('replaces the body and its length where it has edits', async () => {
    const { exchange, sent } = open(buffered);
    const body = exchange.body(100);
    exchange.receive(chunk('request-body', '{"model":"a"}', true));
    await body;
    exchange.route({ ...route, edits: [{ start: 9, end: 12, text: '"longer"' }] });
    expect(sent[1]).toMatchObject({
      requestBody: { response: { bodyMutation: { body: Buffer.from('{"model":"longer"}') } } },
    });
    expect(JSON.stringify(sent[1])).toContain('content-length');
  });

  it('decides on the head when there is no body', async () => {
    const { exchange, sent, answers } = open(buffered, true);
    expect((await exchange.body(10)).length).toBe(0);
    exchange.route(route);
    expect(answers()).toEqual(['requestHeaders']);
    expect(sent[0]).toMatchObject({ dynamicMetadata: exchangeIdOf(exchange) });
  });

  it('replies once, and only while nothing was decided', () => {
    const { exchange, answers } = open(buffered, true);
    exchange.reply({ status: 404, headers: {}, body: '', details: 'd' });
    exchange.reply({ status: 500, headers: {}, body: '', details: 'd' });
    expect(answers()).toEqual(['immediateResponse']);
  });

  it('refuses a body over the limit', async () => {
    const { exchange } = open(buffered);
    const body = exchange.body(3);
    exchange.receive(chunk('request-body', 'four', true));
    await expect(body).rejects.toMatchObject({ reason: 'body-too-large' });
  });

  it('takes the 413 that Envoy gave itself for what it is, and answers that message', async () => {
    const { exchange, answers } = open(buffered);
    const body = exchange.body(3);
    exchange.receive({ ...headers('response-headers'), headers: Headers.of({ ':status': '413' }) });
    await expect(body).rejects.toMatchObject({ reason: 'body-too-large' });
    exchange.reply({ status: 413, headers: {}, body: '', details: 'd' });
    expect(answers()).toEqual(['requestHeaders', 'responseHeaders']);
  });

  it('shows the response body chunk by chunk and tells whether it was whole', async () => {
    const { exchange, sent, answers } = open(buffered, true);
    exchange.route(route);
    exchange.receive(headers('response-headers'));
    await exchange.responseHead();
    const seen: string[] = [];
    const end = exchange.finish({ push: (bytes) => seen.push(bytes.toString()) });
    expect(sent[1]).toMatchObject({ modeOverride: { responseBodyMode: 'STREAMED' } });
    exchange.receive(chunk('response-body', 'one', false));
    exchange.receive(chunk('response-body', 'two', true));
    exchange.close();
    expect(await end).toEqual({ bodyComplete: true });
    expect(seen).toEqual(['one', 'two']);
    expect(answers()).toEqual(['requestHeaders', 'responseHeaders', 'responseBody', 'responseBody']);
  });

  it('tells a response that stopped short', async () => {
    const { exchange } = open(buffered, true);
    exchange.route(route);
    exchange.receive(headers('response-headers'));
    const end = exchange.finish({ push: () => undefined });
    exchange.receive(chunk('response-body', 'one', false));
    exchange.close();
    expect(await end).toEqual({ bodyComplete: false });
  });

  it('aborts its signal and ends the wait when the client leaves', async () => {
    const { exchange, answers } = open(buffered);
    const { signal } = exchange;
    const body = exchange.body(10);
    exchange.close();
    expect(signal.aborted).toBe(true);
    await expect(body).rejects.toBeInstanceOf(ClientGone);
    expect(() => exchange.route(route)).toThrow(ClientGone);
    exchange.reply({ status: 500, headers: {}, body: '', details: 'd' });
    expect(answers()).toEqual(['requestHeaders']);
  });

  it('does not abort its signal when a routed exchange ends', () => {
    const { exchange } = open(buffered, true);
    const { signal } = exchange;
    exchange.route(route);
    exchange.close();
    expect(signal.aborted).toBe(false);
    expect(exchange.signal.aborted).toBe(false);
  });

  it.each(['none', 'streamed', 'buffered-partial', 'grpc'] as const)(
    'names the setting when the body is sent %s',
    async (mode) => {
      const { exchange } = open({ requestBody: mode, responseBody: 'none' });
      await expect(exchange.body(10)).rejects.toThrow(/request_body_mode/);
    },
  );
});

describe('ExtProcExchange.head', () => {
  function headOf(known: Partial<ReturnType<typeof headers>>) {
    return new ExtProcExchange(
      { ...headers('request-headers', buffered), ...known },
      { send: () => undefined },
    ).head;
  }

  it('has no address and no metadata where Envoy tells none', () => {
    const head = headOf({});
    expect(head.clientAddress).toBeUndefined();
    expect(head.metadata('envoy.filters.http.jwt_authn')).toBeUndefined();
  });

  it("has the client's address without its port", () => {
    expect(headOf({ attributes: { 'source.address': '203.0.113.7:0' } }).clientAddress).toBe('203.0.113.7');
  });

  it('reads metadata by namespace', () => {
    const head = headOf({ metadata: (namespace) => ({ askedFor: namespace }) });
    expect(head.metadata('a.b')).toEqual({ askedFor: 'a.b' });
  });
});

describe.each([
  ['BUFFERED', buffered],
  ['FULL_DUPLEX_STREAMED', duplex],
])('ExtProcExchange.route() with changes to the response in %s mode', (_, protocol) => {
  const changed: Route = {
    ...route,
    responseHeaders: {
      remove: ['access-control-allow-credentials'],
      set: { 'access-control-allow-origin': 'https://app.example.com' },
      append: { vary: 'origin' },
    },
  };
  const mutation = {
    removeHeaders: ['access-control-allow-credentials'],
    setHeaders: [
      {
        header: { key: 'access-control-allow-origin', rawValue: Buffer.from('https://app.example.com') },
        appendAction: 'OVERWRITE_IF_EXISTS_OR_ADD',
      },
      { header: { key: 'vary', rawValue: Buffer.from('origin') }, append: { value: true } },
    ],
  };

  it('makes them in the answer to the response headers', () => {
    const { exchange, sent, answers } = open(protocol, true);
    exchange.route(changed);
    exchange.receive(headers('response-headers'));
    expect(answers()).toEqual(['requestHeaders']);
    void exchange.finish(undefined);
    expect(sent.slice(1)).toEqual([{ responseHeaders: { response: { headerMutation: mutation } } }]);
  });

  it('makes them where the response body is shown too', () => {
    const { exchange, sent } = open(protocol, true);
    exchange.route(changed);
    exchange.receive(headers('response-headers'));
    void exchange.finish({ push: () => undefined });
    expect(sent[1]).toMatchObject({ responseHeaders: { response: { headerMutation: mutation } } });
    // An Envoy that shows bodies anyway is not asked to.
    expect('modeOverride' in sent[1]!).toBe(protocol === buffered);
  });

  it('makes none when the exchange ended without a response', async () => {
    const { exchange, answers } = open(protocol, true);
    exchange.route(changed);
    exchange.close();
    await exchange.finish(undefined);
    expect(answers()).toEqual(['requestHeaders']);
  });
});

/** Takes every x out of a body, and keeps every y back until the end. */
function withoutX(): BodyFilter {
  let held = '';
  return {
    push(bytes) {
      const text = bytes.toString();
      if (!/[xy]/.test(text)) return bytes;
      held += text.replace(/[^y]/g, '');
      return Buffer.from(text.replace(/[xy]/g, ''));
    },
    end: () => Buffer.from(held),
  };
}

const streamedResponse: ProtocolConfig = { requestBody: 'buffered', responseBody: 'streamed' };

describe.each([
  ['NONE, with an override', buffered],
  ['STREAMED', streamedResponse],
])('ExtProcExchange.finish() with a filter in response mode %s', (_, protocol) => {
  function begin() {
    const { exchange, sent } = open(protocol, true);
    exchange.route(route);
    exchange.receive(headers('response-headers'));
    const seen: string[] = [];
    const end = exchange.finish({ push: (bytes) => seen.push(bytes.toString()) }, withoutX());
    return { exchange, end, seen, answers: () => sent.slice(2) };
  }
  const replaced = (bodyMutation: object) => ({ responseBody: { response: { bodyMutation } } });

  it('answers each chunk with what passes of it, and shows all of it', async () => {
    const { exchange, end, seen, answers } = begin();
    for (const text of ['one', 'axb', 'xx', '']) exchange.receive(chunk('response-body', text, false));
    exchange.receive(chunk('response-body', 'x', true));
    exchange.close();
    expect(await end).toEqual({ bodyComplete: true });
    expect(seen).toEqual(['one', 'axb', 'xx', 'x']);
    expect(answers()).toEqual([
      { responseBody: {} },
      replaced({ body: Buffer.from('ab') }),
      replaced({ clearBody: true }),
      { responseBody: {} },
      replaced({ clearBody: true }),
    ]);
  });

  it.each([
    ['a last chunk', 'b', { body: Buffer.from('by') }],
    ['a last chunk of which nothing passes', 'x', { body: Buffer.from('y') }],
    ['an empty last chunk', '', { body: Buffer.from('y') }],
  ])('sends what was held back with %s', (_case, text, last) => {
    const { exchange, answers } = begin();
    exchange.receive(chunk('response-body', 'ay', false));
    exchange.receive(chunk('response-body', text, true));
    expect(answers()).toEqual([replaced({ body: Buffer.from('a') }), replaced(last)]);
  });

  it('answers trailers with nothing else: they have no room for a body', () => {
    const { exchange, answers } = begin();
    exchange.receive(chunk('response-body', 'ay', false));
    exchange.receive({ kind: 'response-trailers' });
    expect(answers()).toEqual([replaced({ body: Buffer.from('a') }), { responseTrailers: {} }]);
  });

  it('is asked nothing where nobody is shown the body', () => {
    const { exchange, sent } = open(protocol, true);
    exchange.route(route);
    exchange.receive(headers('response-headers'));
    void exchange.finish(undefined, withoutX());
    exchange.receive(chunk('response-body', 'x', true));
    expect(sent.slice(1)).toEqual([{ responseHeaders: {} }, { responseBody: {} }]);
  });
});

describe.each([
  ['BUFFERED', buffered],
  ['FULL_DUPLEX_STREAMED', duplex],
])('ExtProcExchange.finish() with a filter in %s mode', (_, protocol) => {
  const withLength: Frame = {
    ...headers('response-headers'),
    headers: Headers.of({ ':status': '200', 'content-length': '5' }),
  };
  const seen = { push: () => undefined };

  it('removes the length that was declared', () => {
    const { exchange, sent } = open(protocol, true);
    exchange.route(route);
    exchange.receive(withLength);
    void exchange.finish(seen, withoutX());
    expect(sent[1]).toMatchObject({
      responseHeaders: { response: { headerMutation: { removeHeaders: ['content-length'] } } },
    });
  });

  it('makes other changes to the headers as well', () => {
    const { exchange, sent } = open(protocol, true);
    exchange.route({ ...route, responseHeaders: { remove: ['server'], set: {}, append: {} } });
    exchange.receive(withLength);
    void exchange.finish(seen, withoutX());
    expect(sent[1]).toMatchObject({
      responseHeaders: { response: { headerMutation: { removeHeaders: ['server', 'content-length'] } } },
    });
  });

  it('leaves the length where there is none to apply', () => {
    const { exchange, sent } = open(protocol, true);
    exchange.route(route);
    exchange.receive(withLength);
    void exchange.finish(seen);
    expect(sent[1]).toMatchObject({ responseHeaders: {} });
    expect(JSON.stringify(sent[1])).not.toContain('content-length');
  });
});

describe('ExtProcExchange.finish() with a filter in FULL_DUPLEX_STREAMED mode', () => {
  function begin() {
    const { exchange, sent, answers } = open(duplex, true);
    exchange.route(route);
    exchange.receive(headers('response-headers'));
    const end = exchange.finish({ push: () => undefined }, withoutX());
    return { exchange, end, sent, answers: () => answers().slice(2) };
  }

  it('sends on what passes, no message where nothing does, and the end', () => {
    const { exchange, sent, answers } = begin();
    for (const text of ['one', 'axb', 'xx']) exchange.receive(chunk('response-body', text, false));
    expect(answers()).toEqual(['responseBody', 'responseBody']);
    exchange.receive(chunk('response-body', 'x', true));
    expect(streamed(sent)).toEqual({ text: 'oneab', ends: 1 });
  });

  it('sends what was held back before the end', () => {
    const { exchange, sent } = begin();
    exchange.receive(chunk('response-body', 'ay', false));
    exchange.receive(chunk('response-body', '', true));
    expect(streamed(sent)).toEqual({ text: 'ay', ends: 1 });
  });

  it('sends what was held back before the trailers', async () => {
    const { exchange, end, sent, answers } = begin();
    exchange.receive(chunk('response-body', 'ay', false));
    exchange.receive({ kind: 'response-trailers' });
    expect(streamed(sent)).toEqual({ text: 'ay', ends: 0 });
    expect(answers()).toEqual(['responseBody', 'responseBody', 'responseTrailers']);
    exchange.close();
    expect(await end).toEqual({ bodyComplete: true });
  });
});

describe('ExtProcExchange in FULL_DUPLEX_STREAMED mode', () => {
  it('withholds the head, then sends head, body in chunks and trailers on', async () => {
    const { exchange, sent, answers } = open(duplex);
    const body = exchange.body(1_000_000);
    expect(answers()).toEqual([]);
    exchange.receive(chunk('request-body', 'a'.repeat(70_000), false));
    exchange.receive(chunk('request-body', 'b'.repeat(10), false));
    exchange.receive({ kind: 'request-trailers' });
    expect((await body).length).toBe(70_010);
    exchange.route(route);
    expect(answers()).toEqual(['requestHeaders', 'requestBody', 'requestBody', 'requestTrailers']);
    expect(streamed(sent)).toEqual({ text: 'a'.repeat(70_000) + 'b'.repeat(10), ends: 0 });
  });

  it('ends the last chunk when there are no trailers', async () => {
    const { exchange, sent } = open(duplex);
    const body = exchange.body(100);
    exchange.receive(chunk('request-body', 'ab', false));
    exchange.receive(chunk('request-body', '', true));
    await body;
    exchange.route({ ...route, edits: [{ start: 0, end: 1, text: 'xyz' }] });
    expect(streamed(sent)).toEqual({ text: 'xyzb', ends: 1 });
  });

  it('sends the response body on while it shows it', async () => {
    const { exchange, sent } = open(duplex, true);
    exchange.route(route);
    exchange.receive(headers('response-headers'));
    const seen: string[] = [];
    const end = exchange.finish({ push: (bytes) => seen.push(bytes.toString()) });
    exchange.receive(chunk('response-body', 'one', false));
    exchange.receive(chunk('response-body', '', true));
    exchange.close();
    expect(await end).toEqual({ bodyComplete: true });
    expect(seen).toEqual(['one']);
    expect(streamed(sent)).toEqual({ text: 'one', ends: 1 });
  });

  it('answers the response headers before a body that came with them', async () => {
    const { exchange, sent, answers } = open(duplex, true);
    exchange.route(route);
    exchange.receive(headers('response-headers'));
    exchange.receive(chunk('response-body', 'one', false));
    exchange.receive({ kind: 'response-trailers' });
    expect(answers()).toEqual(['requestHeaders']);
    const seen: string[] = [];
    const end = exchange.finish({ push: (bytes) => seen.push(bytes.toString()) });
    expect(answers()).toEqual(['requestHeaders', 'responseHeaders', 'responseBody', 'responseTrailers']);
    expect(streamed(sent)).toEqual({ text: 'one', ends: 0 });
    exchange.close();
    expect(await end).toEqual({ bodyComplete: true });
    expect(seen).toEqual(['one']);
  });

  it('shows a body that came with the end of the exchange', async () => {
    const { exchange } = open(duplex, true);
    exchange.route(route);
    exchange.receive(headers('response-headers'));
    exchange.receive(chunk('response-body', 'one', true));
    exchange.close();
    const seen: string[] = [];
    expect(await exchange.finish({ push: (bytes) => seen.push(bytes.toString()) })).toEqual({
      bodyComplete: true,
    });
    expect(seen).toEqual(['one']);
  });

  it("lets the body of Envoy's own answer to a body over its limit pass", async () => {
    const { exchange, sent, answers } = open(duplex);
    const body = exchange.body(3);
    exchange.receive({ ...headers('response-headers'), headers: Headers.of({ ':status': '413' }) });
    exchange.receive(chunk('response-body', 'too large', true));
    await expect(body).rejects.toMatchObject({ reason: 'body-too-large' });
    expect(answers()).toEqual(['responseHeaders', 'responseBody']);
    expect(streamed(sent)).toEqual({ text: 'too large', ends: 1 });
  });

  it('sends any body on whole, however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ maxLength: 50 }), { minLength: 1 }),
        fc.boolean(),
        async (pieces, trailers) => {
          const { exchange, sent } = open(duplex);
          const body = exchange.body(10_000);
          pieces.forEach((piece, i) =>
            exchange.receive(chunk('request-body', piece, !trailers && i === pieces.length - 1)),
          );
          if (trailers) exchange.receive({ kind: 'request-trailers' });
          expect((await body).toString()).toBe(pieces.join(''));
          exchange.route(route);
          expect(streamed(sent)).toEqual({ text: pieces.join(''), ends: trailers ? 0 : 1 });
        },
      ),
    );
  });
});

/** The metadata by which Envoy's log entry is matched. */
function exchangeIdOf({ id }: ExtProcExchange): object {
  return { fields: { sluice: { structValue: { fields: { exchange: { stringValue: id } } } } } };
}

/** What the streamed_response answers add up to. */
function streamed(sent: readonly Record<string, unknown>[]): { text: string; ends: number } {
  let text = '';
  let ends = 0;
  for (const message of sent) {
    const answer = (message['requestBody'] ?? message['responseBody']) as
      | { response?: { bodyMutation?: { streamedResponse?: { body?: Buffer; endOfStream?: boolean } } } }
      | undefined;
    const part = answer?.response?.bodyMutation?.streamedResponse;
    text += part?.body?.toString() ?? '';
    if (part?.endOfStream === true) ends++;
  }
  return { text, ends };
}
