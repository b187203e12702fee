import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SseScanner } from '../../src/request/sse-scanner.ts';

/** The events of a stream whose bytes arrive in these chunks. Chunks are wiped after use, as the network's are. */
function scan(...chunks: readonly (string | Buffer)[]): string[] {
  const events: string[] = [];
  const scanner = new SseScanner((data) => events.push(data.toString()));
  for (const chunk of chunks) {
    const bytes = Buffer.from(chunk);
    scanner.push(bytes);
    bytes.fill(0x78);
  }
  scanner.end();
  return events;
}

describe('SseScanner', () => {
  it.each<[string, string, string[]]>([
    ['LF', 'data: a\n\ndata: b\n\n', ['a', 'b']],
    ['CRLF', 'data: a\r\n\r\ndata: b\r\n\r\n', ['a', 'b']],
    ['CR', 'data: a\r\rdata: b\r\r', ['a', 'b']],
    ['mixed line ends', 'data: a\r\n\ndata: b\r\r\ndata: c\n\r', ['a', 'b', 'c']],
    ['data without a space', 'data:a\n\n', ['a']],
    ['data with two spaces', 'data:  a\n\n', [' a']],
    ['several lines of data', 'data: a\ndata: b\ndata:\ndata: c\n\n', ['a\nb\n\nc']],
    ['data alone', 'data\n\n', ['']],
    ['comments', ': ping\n\ndata: a\n: pong\n\n', ['a']],
    ['other fields', 'event: x\nid: 1\nretry: 5\ndata: a\n\ndatum: b\n\n', ['a']],
    ['an event without data', 'event: x\n\ndata: a\n\n', ['a']],
    ['blank lines', '\n\n\ndata: a\n\n\n\n', ['a']],
    ['an end without a blank line', 'data: a\n\ndata: [DONE]\n', ['a', '[DONE]']],
    ['an end without a line end', 'data: a\n\ndata: [DONE]', ['a', '[DONE]']],
    ['nothing', '', []],
  ])('reads %s, however it is cut', (_case, stream, events) => {
    expect(scan(stream)).toEqual(events);
    expect(scan(...Array.from(stream))).toEqual(events);
    for (let at = 0; at <= stream.length; at++)
      expect(scan(stream.slice(0, at), stream.slice(at))).toEqual(events);
  });

  it('reads any stream the same however it is cut', () => {
    const line = fc.constantFrom('data: a', 'data:b', ': c', 'event: d', '', '', 'data', 'data: é', 'x');
    const lineEnd = fc.constantFrom('\n', '\r\n', '\r');
    fc.assert(
      fc.property(fc.array(fc.tuple(line, lineEnd)), fc.array(fc.nat({ max: 60 })), (lines, cuts) => {
        const stream = Buffer.from(lines.flat().join(''));
        const chunks: Buffer[] = [];
        let from = 0;
        for (const cut of cuts.toSorted((a, b) => a - b)) {
          chunks.push(stream.subarray(from, Math.max(from, cut)));
          from = Math.max(from, cut);
        }
        expect(scan(...chunks, stream.subarray(from))).toEqual(scan(stream));
      }),
    );
  });

  it('passes over an event that is too long, and goes on', () => {
    const long = 'x'.repeat(400_000);
    expect(scan('data: a\n\n', 'data: ', long, long, long, '\n\n', 'data: b\n\n')).toEqual(['a', 'b']);
    expect(scan(`data: a\n\ndata: ${long}${long}${long}\n\ndata: b\n\n`)).toEqual(['a', 'b']);
    expect(scan(...Array.from({ length: 5 }, () => `data: ${long}\n`), '\ndata: b\n\n')).toEqual(['b']);
  });
});
