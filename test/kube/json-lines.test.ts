import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { jsonLines } from '../../src/kube/json-lines.ts';

async function* stream(pieces: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield Buffer.from(piece);
}

async function batches(...pieces: readonly (string | Uint8Array)[]): Promise<unknown[]> {
  const read: unknown[] = [];
  for await (const batch of jsonLines(stream(pieces))) read.push(batch);
  return read;
}

describe('jsonLines()', () => {
  it.each<[string, string[], unknown[][]]>([
    ['one line', ['{"a":1}\n'], [[{ a: 1 }]]],
    ['lines that come together', ['1\n2\n', '3\n'], [[1, 2], [3]]],
    ['a line in pieces', ['{"a"', ':', '1}\n'], [[{ a: 1 }]]],
    ['an end of one line with the beginning of the next', ['[1', ']\n[', '2]\n'], [[[1]], [[2]]]],
    ['empty lines and carriage returns', ['\n\r\n1\r\n'], [[1]]],
    ['nothing', [], []],
    ['a newline in a text', ['"a\\nb"\n'], [['a\nb']]],
  ])('reads %s', async (_, pieces, expected) => expect(await batches(...pieces)).toEqual(expected));

  it.each([
    ['an end within a line', ['1\n{"a"'], 'it ended in the middle of a line'],
    ['what is not JSON', ['<html>\n'], 'JSON'],
  ])('rejects on %s', async (_, pieces, message) => {
    await expect(batches(...pieces)).rejects.toThrow(message);
  });

  it('reads the same however it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.jsonValue(), { maxLength: 8 }),
        fc.array(fc.nat(400), { maxLength: 12 }),
        async (values, cuts) => {
          const bytes = Buffer.from(values.map((value) => `${JSON.stringify(value)}\n`).join(''));
          const at = [0, ...cuts.filter((cut) => cut < bytes.length).sort((x, y) => x - y), bytes.length];
          const pieces = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
          const read = (await batches(...pieces)).flat(1);
          expect(read).toEqual(JSON.parse(JSON.stringify(values)));
        },
      ),
    );
  });
});
