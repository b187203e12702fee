import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseBody } from '../../src/request/parse-body.ts';
import type { BodyEdit } from '../../src/request/parsed-request.ts';
import { modelEdit, spliceBody } from '../../src/request/splice.ts';

describe('spliceBody()', () => {
  it.each<[string, BodyEdit[], string]>([
    ['replaces', [{ start: 1, end: 3, text: 'XYZ' }], 'aXYZdef'],
    ['inserts', [{ start: 2, end: 2, text: 'é' }], 'abécdef'],
    ['removes', [{ start: 0, end: 6, text: '' }], ''],
    [
      'takes edits in any order',
      [
        { start: 5, end: 6, text: '2' },
        { start: 0, end: 1, text: '1' },
      ],
      '1bcde2',
    ],
    [
      'takes edits that touch',
      [
        { start: 2, end: 4, text: '2' },
        { start: 2, end: 2, text: '1' },
      ],
      'ab12ef',
    ],
    ['appends', [{ start: 6, end: 6, text: '!' }], 'abcdef!'],
  ])('%s', (_case, edits, expected) => {
    expect(spliceBody(Buffer.from('abcdef'), edits).toString()).toBe(expected);
  });

  it('gives back the body itself where there is nothing to do', () => {
    const body = Buffer.from('abc');
    expect(spliceBody(body, [])).toBe(body);
  });

  it.each<[string, BodyEdit[]]>([
    [
      'overlapping edits',
      [
        { start: 0, end: 3, text: '' },
        { start: 2, end: 4, text: '' },
      ],
    ],
    ['an edit outside', [{ start: 5, end: 7, text: '' }]],
    ['an edit that ends before it starts', [{ start: 3, end: 2, text: '' }]],
  ])('refuses %s', (_case, edits) => {
    expect(() => spliceBody(Buffer.from('abcdef'), edits)).toThrow(RangeError);
  });

  it('equals building the text anew', () => {
    const bytes = fc.string({ unit: fc.constantFrom('a', 'b', '"'), maxLength: 60 });
    const cuts = fc.array(fc.tuple(fc.nat({ max: 60 }), fc.string()), { maxLength: 6 });
    fc.assert(
      fc.property(bytes, cuts, (text, wanted) => {
        const positions = [...new Set(wanted.map(([at]) => Math.min(at, text.length)))].sort((a, b) => a - b);
        const edits: BodyEdit[] = [];
        for (let index = 0; index + 1 < positions.length; index += 2) {
          edits.push({ start: positions[index]!, end: positions[index + 1]!, text: wanted[index]![1] });
        }
        let expected = text;
        for (const edit of edits.toReversed())
          expected = expected.slice(0, edit.start) + edit.text + expected.slice(edit.end);
        expect(spliceBody(Buffer.from(text), edits.toReversed()).toString()).toBe(
          Buffer.from(expected).toString(),
        );
      }),
    );
  });
});

describe('modelEdit()', () => {
  it('names another model, quoted, beside the usage option', async () => {
    const body = Buffer.from('{"stream":true,"model":"al\\u0069as"}');
    const parsed = await parseBody(body, 'chat', { promptHeadBytes: 0, maxDepth: 8 });
    expect(spliceBody(body, [modelEdit(parsed, 'the "real" one'), parsed.usageEdit!]).toString()).toBe(
      '{"stream_options":{"include_usage":true},"stream":true,"model":"the \\"real\\" one"}',
    );
  });

  it('puts any name there so that JSON parsers read it, and changes nothing else', async () => {
    const around = fc.string({ unit: 'grapheme' });
    // Halves of surrogate pairs, control characters and line separators included.
    const name = fc.string({ unit: fc.integer({ max: 0xffff }).map((unit) => String.fromCharCode(unit)) });
    await fc.assert(
      fc.asyncProperty(around, name, fc.nat(4), async (text, target, space) => {
        const fields = { before: text, model: 'alias', after: { model: text } };
        const body = Buffer.from(JSON.stringify(fields, undefined, space));
        const parsed = await parseBody(body, 'by-model', { promptHeadBytes: 0, maxDepth: 8 });
        const spliced = spliceBody(body, [modelEdit(parsed, target)]);
        expect(spliced).toEqual(Buffer.from(JSON.stringify({ ...fields, model: target }, undefined, space)));
      }),
    );
  });

  it('writes a plain name as it is', () => {
    expect(modelEdit({ modelSpan: { start: 2, end: 4 }, modelForm: 'plain' }, 'the "real" one')).toEqual({
      start: 2,
      end: 4,
      text: 'the "real" one',
    });
  });
});
