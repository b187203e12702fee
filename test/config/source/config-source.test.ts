import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseConfigSource, readConfigSource } from '../../../src/config/source/config-source.ts';
import { configMap, faultsIn, faultsOf } from './faults-of.ts';

describe('readConfigSource()', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sluice-source-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function files(name: string, contents: Readonly<Record<string, string | Buffer>>): string {
    const path = join(folder, name);
    mkdirSync(path);
    for (const [file, content] of Object.entries(contents)) writeFileSync(join(path, file), content);
    return path;
  }

  /** As the kubelet does it: files in a dated folder, behind `..data`, and a link for each key. */
  function mounted(name: string, contents: Readonly<Record<string, string>>): string {
    const path = join(folder, name);
    mkdirSync(join(path, '..2026_01_01'), { recursive: true });
    symlinkSync('..2026_01_01', join(path, '..data'));
    for (const [key, content] of Object.entries(contents)) {
      writeFileSync(join(path, '..2026_01_01', key), content);
      symlinkSync(join('..data', key), join(path, key));
    }
    return path;
  }

  it('reads a file', () => {
    const file = join(files('file', { 'a.yaml': 'log:\n  level: info\n' }), 'a.yaml');
    const source = readConfigSource(file);
    expect(source).toMatchObject({ form: '', file, root: { log: { level: 'info' } }, skipped: [] });
    expect(source.position(['log', 'level'])).toEqual({ line: 2, column: 10 });
  });

  it.each(['routerConfiguration', 'gatewayConfiguration', 'schedulerConfiguration', 'sluice.yaml'])(
    'finds the key %s in a mounted ConfigMap',
    (key) => {
      const path = mounted(`mounted-${key}`, { [key]: 'a: 1', 'ca.crt': 'pem' });
      expect(readConfigSource(path)).toMatchObject({
        form: `key ${key} of folder "${path}"`,
        file: join(path, key),
        root: { a: 1 },
      });
    },
  );

  it('takes a manifest for a key', () => {
    const path = mounted('manifest', { 'sluice.yaml': configMap('  sluice.yaml: "a: 1"') });
    expect(readConfigSource(path)).toMatchObject({
      form: 'key sluice.yaml of ConfigMap "c"',
      root: { a: 1 },
    });
  });

  it('names the file of the key in faults', () => {
    const path = mounted('faulty', { routerConfiguration: 'a: 1\na: 2' });
    expect(() => readConfigSource(path)).toThrow(
      `${join(path, 'routerConfiguration')}:2:1: a: is written a second time; the first is in line 1`,
    );
  });

  it.each([
    [
      'no key',
      { 'x.pem': '', 'routerConfiguration.yaml': '' },
      'holds "routerConfiguration.yaml", "x.pem"; needed is routerConfiguration, gatewayConfiguration, schedulerConfiguration or sluice.yaml, or the path of a file in place of the folder\'s; is "routerConfiguration.yaml" meant to be "routerConfiguration"?',
    ],
    ['nothing', { '.hidden': '' }, expect.stringMatching(/^0:0 : is empty; needed is /)],
    [
      'two keys',
      { 'sluice.yaml': '', routerConfiguration: '' },
      'holds more than one configuration, "routerConfiguration" and "sluice.yaml": keep one of them',
    ],
    [
      'many files',
      Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`f${i}`, ''])),
      expect.stringContaining('"f7" and 2 more; needed'),
    ],
  ])('refuses a folder with %s', (name, contents, message) => {
    const path = files(`refused ${name}`, contents);
    expect(faultsOf(() => readConfigSource(path))).toEqual([
      typeof message === 'string' ? `0:0 : ${message}` : message,
    ]);
  });

  it('says why it cannot read', () => {
    const path = files('unreadable', { file: '' });
    symlinkSync('loop', join(path, 'loop'));
    const messageOf = (name: string) => {
      try {
        readConfigSource(join(path, name));
      } catch (error) {
        return error instanceof Error ? error.message : '';
      }
      return '';
    };
    const cannot = (name: string, why: string) => `Cannot read configuration "${join(path, name)}": ${why}`;
    expect(messageOf('absent')).toBe(cannot('absent', 'there is no such file or folder (ENOENT)'));
    expect(messageOf('file/x')).toBe(cannot('file/x', 'a part of the path is not a folder (ENOTDIR)'));
    expect(messageOf('loop')).toBe(cannot('loop', 'its symbolic links lead in a circle (ELOOP)'));
  });

  it.each([
    ['Latin-1', Buffer.from('a: 1\nb: Grün\nc: ß\n', 'latin1'), '2:6 : is not UTF-8: save it as UTF-8 text'],
    ['UTF-16', Buffer.from('\uFEFFa: 1', 'utf16le'), '1:1 : is UTF-16: save it as UTF-8 text'],
    ['half a character', Buffer.from('a: €').subarray(0, 5), '1:4 : is not UTF-8: save it as UTF-8 text'],
    [
      'binary',
      Buffer.from('\x7fELF\x02\x01'),
      '1:1 : the character U+007F has no place in YAML: remove it, or save the file as UTF-8 text',
    ],
    [
      'more than 1 MiB',
      Buffer.from('ä'.repeat(2 ** 19 + 1)),
      '0:0 : is larger than 1 MiB, which is more than a ConfigMap holds',
    ],
  ])('refuses a file with %s', (name, content, fault) => {
    const file = join(files(`bytes ${name}`, { f: content }), 'f');
    expect(faultsOf(() => readConfigSource(file))).toEqual([fault]);
  });

  it('takes exactly 1 MiB', () => {
    const file = join(files('large', { f: Buffer.alloc(1024 ** 2, '#') }), 'f');
    expect(readConfigSource(file).root).toEqual({});
  });
});

describe('parseConfigSource()', () => {
  it.each(['', '\n', '# nothing\n', '---\n', '---\n# a\n---\n', 'null', '~', '\uFEFF'])(
    'takes %j for an empty mapping',
    (text) => {
      const source = parseConfigSource(text, 'f');
      expect(source).toMatchObject({ form: '', file: 'f', root: {}, skipped: [] });
      expect(source.position([])).toEqual({ line: 1, column: 1 });
      expect(source.position(['a', 0], 'b')).toEqual({ line: 1, column: 1 });
    },
  );

  it('tells where each value and key is', () => {
    const text = '# c\nlog: {level: info}\nlist:\n  - a\n  - b:  c\nempty:\n"q r":\n- &x 1\n- *x\n';
    const source = parseConfigSource(text, 'f');
    const at = (...args: Parameters<typeof source.position>) => {
      const { line, column } = source.position(...args);
      return `${line}:${column}`;
    };
    expect(at([])).toBe('2:1');
    expect(at(['log'])).toBe('2:6');
    expect(at(['log', 'level'])).toBe('2:14');
    expect(at(['log'], 'level')).toBe('2:7');
    expect(at(['log'], 'absent')).toBe('2:6');
    expect(at(['log', 'absent', 'x'])).toBe('2:6');
    expect(at(['log', 'level', 'x'], 'y')).toBe('2:14');
    expect(at(['list', 1])).toBe('5:5');
    expect(at(['list', 1, 'b'])).toBe('5:9');
    expect(at(['list', 7])).toBe('4:3');
    expect(at(['empty'])).toBe('6:7');
    expect(at([], 'empty')).toBe('6:1');
    expect(at([], 'q r')).toBe('7:1');
    expect(at(['q r', 1])).toBe('9:3');
  });

  it('counts lines and columns with CRLF, and none for a byte order mark', () => {
    const source = parseConfigSource('\uFEFFa: 1\r\nb:\r\n  c: 2\r\n', 'f');
    expect(source.position(['a'])).toEqual({ line: 1, column: 4 });
    expect(source.position(['b', 'c'])).toEqual({ line: 3, column: 6 });
    expect(source.root).toEqual({ a: 1, b: { c: 2 } });
  });

  it('takes JSON, indented by tabs too', () => {
    const source = parseConfigSource(JSON.stringify({ a: { b: ['\n\u{1F600}'] } }, null, '\t'), 'f');
    expect(source.root).toEqual({ a: { b: ['\n\u{1F600}'] } });
    expect(source.position(['a', 'b', 0])).toEqual({ line: 4, column: 4 });
  });

  it('resolves aliases and merges, and finds faults behind them', () => {
    const source = parseConfigSource(
      'base: &b {x: 1, y: 2}\ncopy: *b\nown:\n  <<: *b\n  y: 3\nmany:\n  <<: [{x: 4}, *b]\n"<<": 1',
      'f',
    );
    expect(source.root).toEqual({
      base: { x: 1, y: 2 },
      copy: { x: 1, y: 2 },
      own: { x: 1, y: 3 },
      many: { x: 4, y: 2 },
      '<<': 1,
    });
    expect(source.position(['copy'])).toEqual({ line: 2, column: 7 });
    expect(source.position(['copy', 'y'])).toEqual({ line: 1, column: 20 });
    expect(source.position(['own', 'x'])).toEqual({ line: 1, column: 14 });
    expect(source.position(['own', 'y'])).toEqual({ line: 5, column: 6 });
  });

  it('keeps keys that mean something to JavaScript as keys', () => {
    const { root } = parseConfigSource('__proto__: {polluted: true}\nconstructor: 1', 'f');
    expect(Object.keys(root)).toEqual(['__proto__', 'constructor']);
    expect('polluted' in root).toBe(false);
    expect(Object.getPrototypeOf(root)).toBe(Object.prototype);
  });

  it.each<[string, string, unknown[]]>([
    ['a list', '- 1', ['1:1 : a list is no configuration: write a mapping of sections']],
    ['a text, unseen', 'hunter2', ['1:1 : a text is no configuration: write a mapping of sections']],
    ['a number', '7', ['1:1 : a single value is no configuration: write a mapping of sections']],
    [
      'duplicate keys, all of them',
      'a: 1\nb: {c: 1, c: 2}\nl:\n  - x: 1\n    x: 1\na: 3',
      [
        '2:11 b.c: is written a second time; the first is in line 2',
        '5:5 l[0].x: is written a second time; the first is in line 4',
        '6:1 a: is written a second time; the first is in line 1',
      ],
    ],
    [
      'keys that are no texts',
      '1: a\nnull: b\n? [a]\n: c\n: d\nx: {{a: b}: c}',
      [
        '1:1 : the key 1 is not a text: put it in quotes',
        '2:1 : the key null is not a text: put it in quotes',
        '3:3 : a list cannot be a key: write a text',
        '5:1 : a key is missing here',
        '6:5 x: a mapping cannot be a key: write a text',
      ],
    ],
    [
      'tags',
      'a: !!js/function x\nb: !secret [1]\nc: !!binary aGk=\nd: !!str 5',
      ['!!js/function', '!secret', '!!binary'].map(
        (tag, i) => `${i + 1}:4 : the tag ${tag} is not known here: remove it and write a plain value`,
      ),
    ],
    ['a tab', 'a:\n\tb: 1', ['2:1 : Tabs are not allowed as indentation']],
    ['broken YAML', 'a: [1\nb: 2', [expect.stringContaining('2:1 : Flow sequence')]],
    ['a broken directive', '%YAML', [expect.stringContaining('1:1 : %YAML directive')]],
    [
      'NUL',
      'a: 1\nb: \0',
      ['2:4 : the character U+0000 has no place in YAML: remove it, or save the file as UTF-8 text'],
    ],
    [
      'aliases of nothing and of themselves',
      'a: &a [*a]\nb: *z',
      [
        '1:8 a[0]: the alias *a is inside of what it stands for',
        '2:4 b: there is no anchor &z before its alias',
      ],
    ],
    ['a merge of no mapping', 'a: {<<: 1}', ['1:9 a: << can merge nothing but mappings']],
    [
      'too many levels',
      `a: ${'['.repeat(100)}${']'.repeat(100)}`,
      ['1:103 : is nested deeper than 100 levels'],
    ],
    [
      'too many levels by aliases',
      `a: &a ${'['.repeat(60)}${']'.repeat(60)}\nb: {c: ${'['.repeat(40)}*a${']'.repeat(40)}}`,
      [expect.stringMatching(/^2:48 b\.c\[0\].*: is nested deeper than 100 levels$/)],
    ],
  ])('refuses %s', (_, text, faults) => {
    expect(faultsIn(text)).toEqual(faults);
  });

  it('takes as many levels as it says', () => {
    expect(faultsIn(`a: ${'['.repeat(99)}${']'.repeat(99)}`)).toEqual([]);
  });

  it.each([
    [
      'aliases that multiply',
      [
        'a: &a [x,x,x,x,x,x,x,x,x]',
        ...'bcdefgh'
          .split('')
          .map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefg'[i]}`).join()}]`),
      ].join('\n'),
      /^5:\d+ e\[\d\]: aliases stand for more than 10000 values/,
    ],
    ['open brackets', '['.repeat(1024 ** 2), /^1:\d+ : is nested deeper than 100 levels$/],
    ['dashes', '- '.repeat(2 ** 19), /^1:\d+ : is nested deeper than 100 levels$/],
    ['documents', '---\n'.repeat(2 ** 18), /^\d+:1 : there are more than 1000 documents$/],
    ['anchors', '&a '.repeat(300_000), /^1:450000 : is too much YAML: more than 300000 words and signs$/],
  ])('stops a bomb of %s', (_, text, fault) => {
    expect(faultsIn(text)).toEqual([expect.stringMatching(fault)]);
  });

  it('refuses more than 1 MiB', () => {
    expect(faultsIn('#'.repeat(2 ** 20))).toEqual([]);
    expect(faultsIn('ä'.repeat(2 ** 19 + 1))).toEqual([
      '0:0 : is larger than 1 MiB, which is more than a ConfigMap holds',
    ]);
  });

  it('stops at a hundred syntax errors', () => {
    expect(faultsIn(']'.repeat(2 ** 20)).at(-1)).toBe('1:51 : and 51 more faults from here on');
  });

  it('names the first fifty faults', () => {
    const faults = faultsIn('a: 1\n'.repeat(101));
    expect(faults).toHaveLength(51);
    expect(faults.at(-1)).toBe('52:1 : and 50 more faults from here on');
  });
});
