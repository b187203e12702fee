/** Metrics in the text format exactly as Python's prometheus_client writes them, which is what scrapers of vLLM meet. */

export type Labels = Readonly<Record<string, string>>;

/** A family: its name, what it says, and its samples at the time of the page. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly labels: Labels;
  readonly value: number | Histogram;
}

/** Counts observations into buckets. */
export class Histogram {
  readonly bounds: readonly number[];
  readonly #counts: Float64Array;
  #sum = 0;
  #count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#counts = new Float64Array(bounds.length);
  }

  get sum(): number {
    return this.#sum;
  }

  get count(): number {
    return this.#count;
  }

  observe(value: number): void {
    this.#sum += value;
    this.#count++;
    const bucket = this.bounds.findIndex((bound) => value <= bound);
    if (bucket !== -1) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
  }

  /** Observations at or below each bound. */
  cumulative(): number[] {
    let below = 0;
    return [...this.#counts].map((count) => (below += count));
  }
}

/** The page. `createdSeconds` is the Unix time that the `_created` series carry. */
export function renderPage(families: readonly Family[], createdSeconds: number): string {
  const lines: string[] = [];
  for (const family of families) {
    const { name, help, type, samples } = family;
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const { labels, value } of samples) {
      if (value instanceof Histogram) pushHistogram(lines, name, labels, value);
      else lines.push(`${name}${formatLabels(labels)} ${formatNumber(value)}`);
    }
    if (type === 'gauge') continue;
    const created = `${name.replace(/_total$/, '')}_created`;
    lines.push(`# HELP ${created} ${help}`, `# TYPE ${created} gauge`);
    for (const { labels } of samples)
      lines.push(`${created}${formatLabels(labels)} ${formatNumber(createdSeconds)}`);
  }
  return `${lines.join('\n')}\n`;
}

function pushHistogram(lines: string[], name: string, labels: Labels, histogram: Histogram): void {
  const counts = histogram.cumulative();
  histogram.bounds.forEach((bound, index) => {
    lines.push(
      `${name}_bucket${formatLabels({ ...labels, le: formatNumber(bound) })} ${formatNumber(counts[index] ?? 0)}`,
    );
  });
  lines.push(`${name}_bucket${formatLabels({ ...labels, le: '+Inf' })} ${formatNumber(histogram.count)}`);
  lines.push(`${name}_count${formatLabels(labels)} ${formatNumber(histogram.count)}`);
  lines.push(`${name}_sum${formatLabels(labels)} ${formatNumber(histogram.sum)}`);
}

function formatLabels(labels: Labels): string {
  const pairs = Object.keys(labels)
    .sort()
    .map(
      (key) =>
        `${key}="${(labels[key] ?? '').replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/"/g, '\\"')}"`,
    );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

/** Python's float notation: `3.0`, `0.25`, and `1.5e+06` from seven digits on. */
export function formatNumber(value: number): string {
  if (value === Infinity) return '+Inf';
  const text = Number.isInteger(value) ? `${value}.0` : String(value);
  const dot = text.indexOf('.');
  if (value <= 0 || dot <= 6) return text;
  const mantissa = `${text.slice(0, 1)}.${text.slice(1, dot)}${text.slice(dot + 1)}`.replace(/[0.]+$/, '');
  return `${mantissa}e+0${dot - 1}`;
}
