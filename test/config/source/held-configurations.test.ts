import { describe, expect, it } from '@jest/globals';
import { parseConfigSource } from '../../../src/config/source/config-source.ts';
import { configMap, faultsIn, needed } from './faults-of.ts';

describe('parseConfigSource() of a ConfigMap', () => {
  it('finds the text of its key, and leaves other keys alone', () => {
    const text = configMap('  other: "[broken"', '  routerConfiguration: |-', '    scheduler:', '      a: 1');
    const source = parseConfigSource(text, 'f');
    expect(source).toMatchObject({
      form: 'key routerConfiguration of ConfigMap "c"',
      root: { scheduler: { a: 1 } },
    });
    expect(source.position(['scheduler', 'a'])).toEqual({ line: 9, column: 10 });
    expect(source.position(['scheduler'], 'a')).toEqual({ line: 9, column: 7 });
  });

  it.each([
    ['|', ['  sluice.yaml: |', '    a:', '      b: 1'], '8:10'],
    ['|+', ['  sluice.yaml: |+', '', '', '    a:', '      b: 1', '', ''], '10:10'],
    ['|2- and a comment', ['  sluice.yaml: |2-  # c', '     a:', '       b: 1'], '8:11'],
    ['|4', ['  sluice.yaml: |4', '          a:', '            b: 1'], '8:16'],
    ['| behind an anchor', ['  sluice.yaml: &x !!str |', '   a:', '     b: 1'], '8:9'],
    ['| with a document marker', ['  sluice.yaml: |', '    ---', '    a:', '      b: 1', '    ...'], '9:10'],
    ['| by an alias', ['  other: &x |', '    a:', '      b: 1', '  sluice.yaml: *x'], '8:10'],
    ['>', ['  sluice.yaml: >', '    a:', '', '      b: 1'], '6:16'],
    ['quotes', ['  sluice.yaml: "a:\\n  b: 1"'], '6:16'],
    ["'", ["  sluice.yaml: '{a:", "      {b: 1}}'"], '6:16'],
  ])('places values of a text with %s', (_, data, expected) => {
    for (const text of [configMap(...data), configMap(...data).replaceAll('\n', '\r\n')]) {
      const source = parseConfigSource(text, 'f');
      expect(source.root).toEqual({ a: { b: 1 } });
      const { line, column } = source.position(['a', 'b']);
      expect(`${line}:${column}`).toBe(expected);
    }
  });

  it.each([
    ['sluice.yaml: ""', { line: 6, column: 16 }],
    ['sluice.yaml: |', { line: 6, column: 16 }],
    ['sluice.yaml: "# nothing"', { line: 6, column: 16 }],
  ])('takes %j for an empty mapping', (data, position) => {
    const source = parseConfigSource(configMap(`  ${data}`), 'f');
    expect(source.root).toEqual({});
    expect(source.position(['a'])).toEqual(position);
  });

  it('is found in a List, printed as JSON', () => {
    const list = {
      apiVersion: 'v1',
      kind: 'List',
      items: [
        { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' } },
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c' }, data: { 'sluice.yaml': 'a: 1\n' } },
        { apiVersion: 'v1', kind: 'List', items: [{ kind: 'Secret' }] },
      ],
    };
    const source = parseConfigSource(JSON.stringify(list, null, 2), 'f');
    expect(source).toMatchObject({
      form: 'key sluice.yaml of ConfigMap "c"',
      root: { a: 1 },
      skipped: ['Deployment "d" (line 5)', 'Secret without a name (line 26)'],
    });
    expect(source.position(['a'])).toEqual({ line: 19, column: 24 });
  });

  it('is found among other objects', () => {
    const source = parseConfigSource(
      [
        '---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n',
        configMap('  ca.crt: pem'),
        configMap('  gatewayConfiguration: |', '    a: 1'),
        '# the end\n',
      ].join('---\n'),
      'f',
    );
    expect(source).toMatchObject({
      form: 'key gatewayConfiguration of ConfigMap "c"',
      root: { a: 1 },
      skipped: ['Deployment "d" (line 2)', 'ConfigMap "c" (line 6)'],
    });
  });

  it.each<[string, string, unknown[]]>([
    [
      'a mapping for a text',
      configMap('  routerConfiguration:', '    scheduler: {}'),
      [
        '7:5 data.routerConfiguration: a ConfigMap holds texts, and this is a mapping: write "routerConfiguration: |-" and leave the lines below as they are',
      ],
    ],
    [
      'nothing for a text',
      configMap('  sluice.yaml:'),
      [
        '6:15 data.sluice.yaml: a ConfigMap holds texts, and this is none: write the configuration below "sluice.yaml: |-"',
      ],
    ],
    ['data that is a list', 'kind: ConfigMap\ndata: [1]', ['2:7 data: is not a mapping of keys to texts']],
    [
      'two keys of ours',
      configMap('  routerConfiguration: "a: 1"', '  sluice.yaml: "b: 1"'),
      [
        '7:3 data.sluice.yaml: is a second configuration; the first is in line 6 (key routerConfiguration of ConfigMap "c"): keep one of them',
      ],
    ],
    [
      'a second document with a configuration',
      `${configMap('  sluice.yaml: "a: 1"')}---\nb: 1\n`,
      [
        '8:1 : is a second configuration; the first is in line 6 (key sluice.yaml of ConfigMap "c"): keep one of them',
      ],
    ],
    [
      'two configurations without a form',
      'a: 1\n---\nb: 1\n---\nc: 1',
      [3, 5].map((line) => `${line}:1 : is a second configuration; the first is in line 1: keep one of them`),
    ],
    ['no kind', 'apiVersion: v1\ndata: {}', ['1:1 : is a Kubernetes object without a kind']],
    ['a kind that is none', 'apiVersion: v1\nkind: 5', ['1:1 : is a Kubernetes object without a kind']],
    ['a List of other things', 'kind: List\nitems: [1]', ['2:9 items[0]: is not a Kubernetes object']],
    [
      'an empty List',
      'kind: List\nitems: []',
      [`0:0 : holds an empty List, which does not configure Sluice; ${needed}`],
    ],
    [
      'a ConfigMap with a mistyped key',
      configMap('  routerConfig: "a: 1"'),
      [
        `0:0 : holds ConfigMap "c" (line 1), which does not configure Sluice; ${needed}; is "routerConfig" meant to be "routerConfiguration"?`,
      ],
    ],
    [
      'broken YAML in the text',
      configMap('  sluice.yaml: |', '    a: 1', '    b: [', '  other: x'),
      [expect.stringMatching(/^8:9 : Flow sequence/)],
    ],
    [
      'faults in the text, and others',
      `${configMap('  sluice.yaml: |', '    a: 1', '    a: 2', '    c: {5: 6}')}metadata: {}\n`,
      [
        '8:5 a: is written a second time; the first is in line 7',
        '9:9 c: the key 5 is not a text: put it in quotes',
        '10:1 metadata: is written a second time; the first is in line 3',
      ],
    ],
    [
      'faults in a text without lines of its own',
      configMap('  sluice.yaml: "a: 1\\na: 2\\nb: {5: 6}"'),
      [
        '6:16 a: is written a second time; the first is in line 1 of the text (line 2 of the text)',
        '6:16 b: the key 5 is not a text: put it in quotes (line 3 of the text)',
      ],
    ],
    [
      'a text that is a list',
      configMap('  sluice.yaml: |', '    - a'),
      ['7:5 : a list is no configuration: write a mapping of sections'],
    ],
    [
      'a control character behind an escape',
      configMap('  sluice.yaml: "a: 1\\nb: \\x1f"'),
      [
        '6:16 : the character U+001F has no place in YAML: remove it, or save the file as UTF-8 text (line 2 of the text)',
      ],
    ],
    [
      'two documents in a text',
      configMap('  sluice.yaml: |', '    a: 1', '    ---', '    b: 1'),
      ['9:5 : is a second document; the first is in line 7: keep one of them'],
    ],
  ])('refuses %s', (_, text, faults) => {
    expect(faultsIn(text)).toEqual(faults);
  });
});

describe('parseConfigSource() of a StaticRoute', () => {
  const route = 'apiVersion: production-stack.vllm.ai/v1alpha1\nkind: StaticRoute\nmetadata: {name: r}\n';

  it('finds its spec', () => {
    const source = parseConfigSource(`${route}spec:\n  routingLogic: session\n  sessionKey: x\n`, 'f');
    expect(source).toMatchObject({
      form: 'StaticRoute "r"',
      root: { routingLogic: 'session', sessionKey: 'x' },
    });
    expect(source.position(['sessionKey'])).toEqual({ line: 6, column: 15 });
    expect(source.position([], 'sessionKey')).toEqual({ line: 6, column: 3 });
  });

  it.each<[string, string, unknown[]]>([
    ['without a spec', route, ['1:1 : is a StaticRoute without a spec']],
    ['with a list for a spec', `${route}spec: [1]`, ['4:7 spec: the spec is not a mapping']],
    [
      'of other people',
      'apiVersion: example.com/v1\nkind: StaticRoute\nspec: {}',
      [`0:0 : holds StaticRoute without a name (line 1), which does not configure Sluice; ${needed}`],
    ],
  ])('refuses one %s', (_, text, faults) => {
    expect(faultsIn(text)).toEqual(faults);
  });
});
