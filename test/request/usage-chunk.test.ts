import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createUsageChunkFilter } from '../../src/request/usage-chunk.ts';

const usage = '{"prompt_tokens":20,"total_tokens":22,"completion_tokens":2}';
const chatHead = '"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m"';
const role = `data: {${chatHead},"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n`;
const token = `data: {${chatHead},"choices":[{"index":0,"delta":{"content":"Hi \\"usage\\":{ ü"}}]}\n\n`;
const last = `data: {${chatHead},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}\n\n`;
const done = 'data: [DONE]\n\n';
/** As vLLM writes it. */
const chunk = `data: {${chatHead},"choices":[],"usage":${usage}}\n\n`;

/** What passes of each piece, and what at the end. */
function pieces(...bytes: readonly (string | Buffer)[]): Buffer[] {
  const filter = createUsageChunkFilter();
  const passed = bytes.map((piece) => filter.push(Buffer.from(piece)));
  return [...passed, filter.end()];
}

function through(...bytes: readonly (string | Buffer)[]): string {
  return Buffer.concat(pieces(...bytes)).toString();
}

/** The stream without its chunk, and the chunk. */
const streams: readonly [string, before: string, hidden: string, after: string][] = [
  ['vLLM, chat', role + token + last, chunk, done],
  [
    'vLLM, completions',
    `data: {"id":"cmpl-1","object":"text_completion","model":"m","choices":[{"index":0,"text":"Hi"}]}\n\n`,
    `data: {"id":"cmpl-1","object":"text_completion","model":"m","choices":[],"usage":${usage}}\n\n`,
    done,
  ],
  [
    'vLLM with fingerprint, details and metrics',
    role + last,
    `data: {${chatHead},"choices":[],"usage":{"prompt_tokens":20,"prompt_tokens_details":{"cached_tokens":16}},"system_fingerprint":"vllm-1","metrics":{"e2e":[1]}}\n\n`,
    done,
  ],
  [
    'SGLang',
    `data: {"id":"1","object":"chat.completion.chunk","created":1,"choices":[{"index":0,"delta":{}}],"model":"m","usage":null}\n\n`,
    `data: {"id":"1","object":"chat.completion.chunk","created":1,"choices":[],"model":"m","usage":${usage}}\n\n`,
    done,
  ],
  ['a model with the name of a key', '', `data: {"model":"choices","choices":[],"usage":${usage}}\n\n`, done],
  ['usage first, spaced', role, `data:  { "usage" : ${usage} , "choices" : [ ] }\n\n`, done],
  ['no space after the colon', role, `data:{"choices":[],"usage":${usage}}\n\n`, done],
  ['CRLF and comments', `: ping\r\n\r\n${crlf(token)}`, crlf(chunk), `: ping\r\n\r\n${crlf(done)}`],
  ['CR', token.replaceAll('\n', '\r'), chunk.replaceAll('\n', '\r'), done.replaceAll('\n', '\r')],
  ['mixed line ends', token, chunk.slice(0, -1) + '\r\n', '\n\r\n' + done],
  ['a stream that ends with it', token, chunk, ''],
  ['a stream that ends before its blank line', token, chunk.slice(0, -1), ''],
  ['a stream that breaks off in it', token, chunk.slice(0, -20), ''],
];

/** Streams that pass as they are. */
const untouched: readonly [string, string][] = [
  ['without usage', role + token + last + done],
  ['with usage in every chunk', token.replace(']}\n', `],"usage":${usage}}\n`).repeat(3) + done],
  ['with usage that is null', `data: {"choices":[],"usage":null}\n\n${done}`],
  ['with an empty list and no usage', `data: {"choices":[],"prompt_filter_results":[]}\n\n${done}`],
  ['with usage and no list', `data: {"usage":${usage}}\n\n${done}`],
  ['with a list that is none', `data: {"choices":null,"usage":${usage}}\n\n${done}`],
  ['with usage that is none', `data: {"choices":[],"usage":[1]}\n\n${done}`],
  ['with both inside of something else', `data: {"x":{"choices":[],"usage":${usage}}}\n\n${done}`],
  ['with a list of both', `data: [{"choices":[],"usage":${usage}}]\n\n${done}`],
  ['with the chunk in several lines', `data: {"choices":[],\ndata: "usage":${usage}}\n\n${done}`],
  ['with the chunk behind another field', `event: x\ndata: {"choices":[],"usage":${usage}}\n\n${done}`],
  ['with a field behind the chunk', `data: {"choices":[],"usage":${usage}}\nid: 1\n\n${done}`],
  ['with the chunk in a comment', `: {"choices":[],"usage":${usage}}\n\n${done}`],
  ['with an error', `${token}data: {"error":{"message":"no","usage":${usage}}}\n\n${done}`],
  ['with blank lines, lone letters and no end', '\n\n\r\r\n\n\nd\nda\n\ndata\n\ndata:\n\ndat'],
  ['that is nothing', ''],
  ['that is no stream of events', '{"choices":[{"usage":{"choices":[]}}]}'],
];

function crlf(text: string): string {
  return text.replaceAll('\n', '\r\n');
}

describe('createUsageChunkFilter() hides the chunk', () => {
  it.each(streams)('of %s', (_, before, hidden, after) => {
    expect(through(before, hidden, after)).toBe(before + after);
    expect(through(before + hidden + after)).toBe(before + after);
  });

  it.each(streams)('of %s, cut in two or three at any byte', (_, before, hidden, after) => {
    const bytes = Buffer.from(before + hidden + after);
    for (let first = 0; first < bytes.length; first++) {
      expect(through(bytes.subarray(0, first), bytes.subarray(first))).toBe(before + after);
      const second = Math.min(bytes.length, first + 1 + (first % 7));
      expect(through(bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second))).toBe(
        before + after,
      );
    }
  });

  it.each(streams)('of %s, byte by byte', (_, before, hidden, after) => {
    expect(through(...cutAt(before + hidden + after, 1))).toBe(before + after);
  });

  it('wherever it comes, and however often', () => {
    expect(through(chunk + token + chunk + chunk + done)).toBe(token + done);
  });
});

describe('createUsageChunkFilter() lets everything else pass', () => {
  it.each(untouched)('a stream %s', (_, stream) => {
    expect(through(stream)).toBe(stream);
    expect(through(...cutAt(stream, 1))).toBe(stream);
    const bytes = Buffer.from(stream);
    for (let at = 0; at < bytes.length; at++)
      expect(through(bytes.subarray(0, at), bytes.subarray(at))).toBe(stream);
  });

  it('without a copy where whole events come', () => {
    const filter = createUsageChunkFilter();
    for (const text of [role, token + last, `data: {"choices":[{}],"usage":null}\n\n`, ': ping\n\n', done]) {
      const bytes = Buffer.from(text);
      expect(filter.push(bytes)).toBe(bytes);
    }
  });

  it('without a copy in the midst of an event that is none', () => {
    const filter = createUsageChunkFilter();
    for (const text of ['data: {"choices":[{"delta":{"content":"a', 'b'.repeat(50_000), '"}}]}\n\n']) {
      const bytes = Buffer.from(text);
      expect(filter.push(bytes)).toBe(bytes);
    }
  });

  it.each<[string, ...string[]]>([
    ['its list is not empty', 'data: {"id":"1","choices":[{', '"index":0'],
    ['its list is no list', 'data: {"choices":n', 'ull'],
    ['it is no object', 'data: [', 'DONE]'],
    ['it is no data', 'e', 'vent: x'],
    ['it is a comment', ':', ' ping'],
    ['it has another line', `data: {"choices":[],"usage":${usage}}\ni`, 'd: 1'],
    ['its line is whole and is not the chunk', 'data: {"choices":[]}\n', '\n'],
    ['it is far too long', `data: {"id":"${'x'.repeat(20_000)}`, '"'],
  ])('as soon as %s', (_, ...texts) => {
    expect(pieces(...texts).map(String)).toEqual([...texts, '']);
  });

  it.each<[string, string, string]>([
    ['a beginning', 'da', 'ta: {}\n\n'],
    ['the blank before the value', 'data: ', '1\n\n'],
    ['a head', 'data: {"id":"1"', ',"choices":[{}]}\n\n'],
    ['an empty list', 'data: {"choices":[]', '}\n\n'],
    ['a list of which nothing has come', 'data: {"choices": [ ', '{}]}\n\n'],
    ['the chunk without its blank line', `data: {"choices":[],"usage":${usage}}\n`, ':\n\n'],
  ])('and waits with %s for what comes', (_, held, rest) => {
    expect(pieces(held, rest).map(String)).toEqual(['', held + rest, '']);
    expect(String(pieces(token + held)[0])).toBe(token);
  });

  it('also when the memory of a piece is used again', () => {
    const filter = createUsageChunkFilter();
    const piece = Buffer.from('data: {"choices":[');
    expect(filter.push(piece).length).toBe(0);
    piece.fill(0);
    expect(filter.push(Buffer.from('{}]}\n\n')).toString()).toBe('data: {"choices":[{}]}\n\n');
  });

  it('at the end of the stream too', () => {
    expect(pieces('data: {"choices":[]').map(String)).toEqual(['', 'data: {"choices":[]']);
    expect(pieces(chunk.slice(0, -2)).map(String)).toEqual(['', '']);
  });

  it('that has a chunk beyond what can wait, in one piece', () => {
    const long = chunk.replace('chatcmpl-1', 'x'.repeat(20_000));
    expect(through(token + long + done)).toBe(token + done);
  });
});

describe('createUsageChunkFilter()', () => {
  const events = fc.array(
    fc.oneof(
      fc.constantFrom(role, token, last, done, crlf(token), ': ping\n\n', '\n', '\r', 'data: x\r\n\r\n'),
      fc.constantFrom(...untouched.map(([, stream]) => stream)).map((stream) => `${stream}\n\n`),
      fc.constantFrom(chunk, crlf(chunk), chunk.replaceAll('\n', '\r')),
    ),
    { maxLength: 12 },
  );

  it('gives the stream without its chunks for any cuts, and is never behind by more than one event', () => {
    fc.assert(
      fc.property(events, fc.array(fc.nat(400), { minLength: 1, maxLength: 12 }), (list, sizes) => {
        const chosen = apart(list);
        const bytes = Buffer.from(chosen.join(''));
        const expected = Buffer.from(chosen.filter((event) => !isChunk(event)).join(''));
        const ends = eventEnds(bytes);
        const filter = createUsageChunkFilter();
        const hidden = hiddenBytes(chosen);
        let sent = 0;
        let passed = Buffer.alloc(0);
        for (let i = 0; sent < bytes.length; i++) {
          const size = 1 + sizes[i % sizes.length]!;
          passed = Buffer.concat([passed, filter.push(bytes.subarray(sent, sent + size))]);
          sent = Math.min(bytes.length, sent + size);
          const whole = ends.filter((end) => end <= sent).at(-1) ?? 0;
          expect(passed.length).toBeGreaterThanOrEqual(whole - hidden(whole));
        }
        passed = Buffer.concat([passed, filter.end()]);
        expect(passed.toString()).toBe(expected.toString());
      }),
      { seed: 1, numRuns: 1000 },
    );
  });
});

/** No event begins with what may as well end the one before. */
function apart(events: readonly string[]): string[] {
  const chosen: string[] = [];
  for (const event of events) {
    if (!event.startsWith('\n') || chosen.at(-1)?.endsWith('\r') !== true) chosen.push(event);
  }
  return chosen;
}

function isChunk(event: string): boolean {
  return event.replaceAll('\r\n', '\n').replaceAll('\r', '\n') === chunk;
}

/** How many bytes of the first `length` of a stream are in chunks. */
function hiddenBytes(events: readonly string[]): (length: number) => number {
  return (length) => {
    let at = 0;
    let hidden = 0;
    for (const event of events) {
      const bytes = Buffer.byteLength(event);
      if (isChunk(event)) hidden += Math.max(0, Math.min(length - at, bytes));
      at += bytes;
    }
    return hidden;
  };
}

/** Where blank lines end. */
function eventEnds(bytes: Buffer): number[] {
  return [...bytes.toString('latin1').matchAll(/(?<=\r\n|\n|\r(?!\n)|^)(\r\n|\n|\r)/g)].map(
    ({ index, 0: text }) => index + text.length,
  );
}

function cutAt(text: string, size: number): Buffer[] {
  const bytes = Buffer.from(text);
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
}
