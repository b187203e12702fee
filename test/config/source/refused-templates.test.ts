import { describe, expect, it } from '@jest/globals';
import { parseConfigSource } from '../../../src/config/source/config-source.ts';
import { configMap, faultsIn } from './faults-of.ts';

const helm = 'is a Helm template expression: render the chart first (helm template) and use what it prints';

describe('parseConfigSource() of a chart that is not rendered', () => {
  it('takes templates around the configuration', () => {
    const text = [
      '{{- if .Values.enabled }}',
      '{{/* a comment with }} in it,',
      '     over two lines */}}',
      'apiVersion: v1',
      'kind: ConfigMap',
      'metadata:',
      '  name: {{ include "x.name" . }}-{{ .Release.Name }}',
      '  namespace: "{{ .Release.Namespace }}"',
      '  labels:',
      '    {{- include "labels" . | nindent 4 }}',
      '    {{ .Values.key }}: {{ .Values.value | quote }}',
      '    {{ .Values.key }}: other',
      '  {{- if .Values.a }}',
      '  annotations: {a: b}',
      '  {{- else }}',
      '  annotations: {a: c}',
      '  {{- end }} # if',
      'data:',
      '  other: {{ .Values.other }}',
      '  routerConfiguration: |-',
      '    # {{ not evaluated }}',
      '    a:',
      '      b: 1',
      '  {{- with .Values.more }}',
      '  more: |-',
      '    {{ . }}',
      '  {{- end }}',
      '{{- end }}',
      '',
    ].join('\n');
    const source = parseConfigSource(text, 'f');
    expect(source).toMatchObject({
      form: 'key routerConfiguration of ConfigMap "{{ include "x.name" . }}-{{ .Release.Name }}"',
      root: { a: { b: 1 } },
    });
    expect(source.position(['a', 'b'])).toEqual({ line: 23, column: 10 });
  });

  it.each([
    ['at the end of the text', ['  sluice.yaml: |-', '    a: 1', '{{- end }}']],
    ['indented like the key', ['  sluice.yaml: |-', '    a: 1', '  {{- include "more" . | nindent 2 }}']],
    ['indented less than the key', ['  sluice.yaml: |-', '    a: 1', '{{ toYaml .x | indent 2 }}']],
  ])('takes a template %s', (_, data) => {
    expect(parseConfigSource(configMap(...data), 'f').root).toEqual({ a: 1 });
  });

  it.each<[string, string, unknown[]]>([
    [
      'in the text',
      configMap('  sluice.yaml: |-', '    a: {{ .Values.a }}', '    b: {{ .b }}'),
      [`7:8 data.sluice.yaml: {{ .Values.a }} (and 1 more below) ${helm}`],
    ],
    [
      'around a part of the text',
      configMap('  sluice.yaml: |-', '{{- if .a }}', '    a: 1', '{{- else }}', '    a: 2', '{{- end }}'),
      [`7:1 data.sluice.yaml: {{- if .a }} (and 1 more below) ${helm}`],
    ],
    [
      'for the whole text',
      configMap('  sluice.yaml: |-', '{{ toYaml .Values.config | indent 4 }}'),
      [`7:1 data.sluice.yaml: {{ toYaml .Values.config | indent 4 }} ${helm}`],
    ],
    [
      'for the whole text, with its indentation',
      configMap('  sluice.yaml: |-', '{{ .Values.config }}'),
      [`7:1 data.sluice.yaml: {{ .Values.config }} ${helm}`],
    ],
    [
      'for more of the text',
      configMap('  sluice.yaml: |-', '    a: 1', '{{ toYaml .Values.config | indent 4 }}'),
      [`8:1 data.sluice.yaml: {{ toYaml .Values.config | indent 4 }} ${helm}`],
    ],
    ['in quotes', configMap('  sluice.yaml: "a: {{ x }}"'), [`6:20 data.sluice.yaml: {{ x }} ${helm}`]],
    [
      'behind an alias',
      configMap('  other: &t |-', '    a: {{ x }}', '  sluice.yaml: *t'),
      [`7:8 data.sluice.yaml: {{ x }} ${helm}`],
    ],
    [
      'that chooses the text',
      configMap(
        '  {{- if .a }}',
        '  sluice.yaml: "a: 1"',
        '  {{- else }}',
        '  sluice.yaml: "a: 2"',
        '  {{- end }}',
      ),
      [
        `6:3 : {{- if .a }} (and 2 more below) ${helm}`,
        '9:3 data.sluice.yaml: is written a second time; the first is in line 7',
      ],
    ],
    [
      'for the data',
      'kind: ConfigMap\ndata: {{ .Values.data }}\n',
      [`2:7 : {{ .Values.data }} ${helm}`, '2:7 data: is not a mapping of keys to texts'],
    ],
    [
      'below the data',
      'kind: ConfigMap\ndata:\n  {{- toYaml .Values.data | nindent 2 }}\n',
      [
        expect.stringContaining('0:0 : holds ConfigMap without a name (line 1), '),
        `3:3 : {{- toYaml .Values.data | nindent 2 }} ${helm}`,
      ],
    ],
    [
      'for a spec',
      'apiVersion: production-stack.vllm.ai/v1\nkind: StaticRoute\nspec:\n  {{- toYaml .Values.spec | nindent 2 }}\n',
      [`4:3 spec: {{- toYaml .Values.spec | nindent 2 }} ${helm}`],
    ],
    ['in a file of its own', 'a: {{ .Values.a }}\nb: [\n# {{ c }}', [`1:4 : {{ .Values.a }} ${helm}`]],
    [
      'around a file of its own',
      '{{- if .a }}\na: 1\n{{- end }}\n',
      [`1:1 : {{- if .a }} (and 1 more below) ${helm}`],
    ],
    ['below a file of its own', 'a: 1\n...\n{{ x }}\n', [`3:1 : {{ x }} ${helm}`]],
    ['that hides what else may be wrong', 'a: {{ x }}\na: !x 2\n5: 6\n', [`1:4 : {{ x }} ${helm}`]],
    [
      'beside another fault',
      `{{ y }}\n${configMap('  sluice.yaml: |', '    a: {{ x }}', '    a: 2')}kind: ConfigMap\nkind: Secret\n`,
      [
        `8:8 data.sluice.yaml: {{ x }} ${helm}`,
        '11:1 kind: is written a second time; the first is in line 3',
      ],
    ],
    ['and nothing else', '{{ include "x" . }}\n', [`1:1 : {{ include "x" . }} ${helm}`]],
    [
      'that makes the YAML incomprehensible',
      'kind: Secret\nmetadata: {{ x }}\n  name: a\n',
      [
        expect.stringMatching(/^2:11 : Nested mappings/),
        expect.stringMatching(/^2:11 : Implicit keys/),
        `2:11 : {{ x }} ${helm}`,
      ],
    ],
    ['that is long', `a: {{ ${'x'.repeat(100)} }}`, [`1:4 : {{ ${'x'.repeat(57)}… ${helm}`]],
  ])('refuses a template %s', (_, text, faults) => {
    expect(faultsIn(text)).toEqual(faults);
  });

  it('takes a template in a comment of any file', () => {
    expect(parseConfigSource('# {{ .Values.a }}\na: 1 # {{ b }}\n', 'f').root).toEqual({ a: 1 });
  });
});
