/** Metrics in Prometheus' text format, for families whose series come and go with what they are about. */

export type Labels = Readonly<Record<string, string>>;

/** One line of a family; `suffix` is added to the family's name. */
export interface Sample {
  readonly suffix?: '_bucket' | '_sum' | '_count';
  readonly labels: Labels;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** Whole lines, which may follow other families. */
export function exposition(families: readonly Family[]): string {
  const lines: string[] = [];
  for (const { name, type, help, samples } of families) {
    lines.push(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`);
    for (const { suffix = '', labels, value } of samples)
      lines.push(`${name}${suffix}${labelText(labels)} ${value}\n`);
  }
  return lines.join('');
}

function labelText(labels: Labels): string {
  let pairs = '';
  for (const [name, value] of Object.entries(labels))
    pairs += `${pairs === '' ? '' : ','}${name}="${/[\\\n"]/.test(value) ? escaped(value) : value}"`;
  return pairs === '' ? '' : `{${pairs}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}
