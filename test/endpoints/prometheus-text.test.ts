import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { createSampleScanner } from '../../src/endpoints/prometheus-text.ts';

const names = ['vllm:num_requests_running', 'vllm:num_requests_waiting', 'process_start_time_seconds', 'up'];

function scan(page: string | Buffer): [string, number][] {
  const found: [string, number][] = [];
  createSampleScanner(names)(Buffer.from(page), (index, value) => found.push([names[index] ?? '', value]));
  return found;
}

describe('createSampleScanner()', () => {
  const running = 'vllm:num_requests_running';
  const samples: readonly [string, string, readonly number[]][] = [
    ['a bare sample', `${running} 3`, [3]],
    ['a float with an exponent', `${running} 8.128902e+06`, [8128902]],
    ['a negative value', `${running} -1.5`, [-1.5]],
    ['labels', `${running}{engine="0",model_name="m"} 3.0\n`, [3]],
    ['empty labels', `${running}{} 3`, [3]],
    ['blanks around labels', `  ${running} {engine="0"}\t 3 `, [3]],
    ['no blank after labels', `${running}{engine="0"}3`, [3]],
    ['a brace in a label', `${running}{model_name="a}b{c"} 3`, [3]],
    ['an escaped quote and brace', `${running}{model_name="a\\"} 9 {\\\\",x="}"} 3`, [3]],
    ['a timestamp', `${running} 3 1395066363000`, [3]],
    ['an exemplar', `${running}{le="1"} 3 # {trace_id="x"} 0.67 1.0`, [3]],
    ['CRLF', `${running} 3\r\n${running} 4\r\n`, [3, 4]],
    ['no line feed at the end', `${running} 3`, [3]],
    ['not a number', `${running} NaN`, [Number.NaN]],
    ['infinities', `${running} +Inf\n${running} -Inf`, [Infinity, -Infinity]],
    ['several series', `${running}{engine="0"} 3\n${running}{engine="1"} 4`, [3, 4]],
    ['comments', `# HELP ${running} 5\n# TYPE ${running} gauge\n#${running} 6\n${running} 3`, [3]],
    ['a longer name', `${running}_total 3\n${running}2 4`, []],
    ['a prefixed name', `x${running} 3\nkserve_${running} 4`, []],
    ['no value', `${running}\n${running} \n${running}{a="b"}\n`, []],
    ['a value that is no number', `${running} three\n${running} 1_000`, []],
    ['unclosed labels', `${running}{a="b 3\n${running} 4`, [4]],
    ['unclosed quotes', `${running}{a="b} 3\n${running} 4`, [4]],
    ['an empty page', '', []],
    ['only line feeds', '\n\n\r\n\n', []],
    ['bytes that are not UTF-8', Buffer.from([0xff, 0xfe, 0x0a]).toString('latin1') + `${running} 3`, [3]],
  ];
  it.each(samples)('reads %s', (_name, page, values) => {
    expect(scan(page)).toEqual(values.map((value) => [running, value]));
  });

  it('tells wanted names apart, short ones too', () => {
    const page =
      'up 1\nvllm:num_requests_waiting 2\nupper 9\nprocess_start_time_seconds 1.7e9\nup{job="x"} 3\nu 4';
    expect(scan(page)).toEqual([
      ['up', 1],
      ['vllm:num_requests_waiting', 2],
      ['process_start_time_seconds', 1.7e9],
      ['up', 3],
    ]);
  });

  it('reads what was written, among anything else (property)', () => {
    const labelValue = fc.string({
      unit: fc.constantFrom('a', '}', '{', '"', '\\', ' ', ',', '=', '#', 'é', '\n'),
    });
    const labels = fc.dictionary(fc.constantFrom('engine', 'model_name', 'le'), labelValue, {
      noNullPrototype: true,
    });
    const name = fc.constantFrom(...names, 'vllm:num_requests_runnin', 'vllm:other_total', 'up_bucket');
    const value = fc.double({ noNaN: true });
    const sample = fc.record({
      name,
      labels,
      value,
      tail: fc.constantFrom('', ' 1395066363000', ' # {a="}"} 1'),
    });
    const noise = fc.constantFrom(
      '',
      '# HELP up 1',
      '# TYPE up gauge',
      '   ',
      'garbage{',
      '{} 1',
      'up{',
      'up',
      '\u0000',
    );
    const ends = fc.constantFrom('\n', '\r\n');
    fc.assert(
      fc.property(fc.array(fc.oneof(sample, noise)), ends, (lines, end) => {
        const text = lines.map((line) => (typeof line === 'string' ? line : render(line))).join(end);
        const expected = lines.flatMap((line) =>
          typeof line !== 'string' && names.includes(line.name) ? [[line.name, line.value]] : [],
        );
        expect(scan(text)).toEqual(expected);
      }),
      { seed: 7 },
    );
  });

  it('survives any bytes (property)', () => {
    const bytes = fc.uint8Array({ maxLength: 300 });
    const pieces = fc.array(
      fc.oneof(
        bytes,
        fc.constantFrom(...names, '{', '}', '"', '\\', '\n', ' 1').map((s) => Buffer.from(s)),
      ),
    );
    fc.assert(
      fc.property(pieces, (parts) => {
        for (const [name] of scan(Buffer.concat(parts))) expect(names).toContain(name);
      }),
      { seed: 7 },
    );
  });
});

interface Line {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly tail: string;
}

function render({ name, labels, value, tail }: Line): string {
  const escaped = (text: string) =>
    text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  const number = Number.isFinite(value)
    ? Object.is(value, -0)
      ? '-0'
      : String(value)
    : value > 0
      ? '+Inf'
      : '-Inf';
  return `${name}${pairs.length > 0 ? `{${pairs.join(',')}}` : ''} ${number}${tail}`;
}
