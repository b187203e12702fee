/** Splits a stream of bytes into the JSON texts on its lines. */

const newline = 0x0a;

/**
 * Gives the values of all lines that a piece of the stream completes, together; a piece that completes none gives nothing.
 *
 * @throws Error where the stream ends within a line, or a line is not JSON.
 */
export async function* jsonLines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<readonly unknown[]> {
  let begun: Uint8Array[] = [];
  for await (const piece of stream) {
    const values: unknown[] = [];
    let start = 0;
    for (let end = piece.indexOf(newline); end >= 0; end = piece.indexOf(newline, start)) {
      const line = text([...begun, piece.subarray(start, end)]);
      begun = [];
      start = end + 1;
      if (line !== '') values.push(JSON.parse(line));
    }
    if (start < piece.length) begun.push(piece.subarray(start));
    if (values.length > 0) yield values;
  }
  if (begun.length > 0) throw new Error('it ended in the middle of a line');
}

function text(pieces: readonly Uint8Array[]): string {
  return Buffer.concat(pieces).toString('utf8').trimEnd();
}
