/** docs/performance.md and its drawings, and the same tables for a terminal. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { digits, type Section, type Table, type Target } from './bench.ts';
import { comparisonPlots, peerNotes } from './peers.ts';
import { drawPlot } from './plot.ts';

/** A section that was run, with the command that runs it again. */
export interface NamedSection extends Section {
  readonly command: string;
}

export interface Report {
  readonly machine: readonly (readonly [string, string])[];
  readonly quick: boolean;
  readonly sections: readonly NamedSection[];
}

/** A section as it is read at a terminal. */
export function printable({ title, tables, targets }: Section): string {
  return [
    `\n## ${title}`,
    ...tables.map(alignedTable),
    ...targets.map((target) => targetRow(target).join(' | ')),
  ].join('\n\n');
}

/** Writes the page and its drawings below `docs`. */
export function writeReport(report: Report, docs: string): void {
  const images = path.join(docs, 'img');
  mkdirSync(images, { recursive: true });
  const measured = Object.assign({}, ...report.sections.map(({ plots }) => plots)) as Record<string, number>;
  const plots = comparisonPlots(measured);
  for (const [name, plot] of plots) writeFileSync(path.join(images, name), drawPlot(plot));
  const page = markdown(
    report,
    [...plots].map(([name, { title }]) => `![${title}](img/${name})`),
  );
  writeFileSync(path.join(docs, 'performance.md'), page);
}

function markdown({ machine, quick, sections }: Report, images: readonly string[]): string {
  const targets = sections.flatMap((section) => section.targets);
  return [
    '# Performance',
    'Written by `npm run bench -- --write`; `make bench` measures the same and prints it. Every figure below is from one run on one machine. Nothing leaves the loopback.',
    ...(quick
      ? ['**This run was a quick one: its figures show that everything works, and nothing else.**']
      : []),
    '## Machine and versions',
    alignedTable({ columns: ['', ''], rows: machine }),
    '## How to read it',
    [
      '- **CPU per exchange** is what `/proc` says Sluice used, over all its threads, divided by the number of exchanges: the figure that says how many cores a fleet needs. It hardly depends on what else runs; rates and latencies do.',
      '- **Added latency** is the difference to the same Envoy without Sluice, of medians or of 99th percentiles, measured in turn within the same minute. Latencies of another run do not compare.',
      '- An engine that answers in no time is the worst case on purpose: against a real one, whose first token takes tens of milliseconds, the added share is small.',
      '- Where two figures are separated by a slash they are two repetitions. If they differ much, the machine was busy and the row is worth nothing.',
    ].join('\n'),
    '## Promised and measured',
    alignedTable({ columns: ['what', 'target', 'measured', ''], rows: targets.map(targetRow) }),
    '## Beside others',
    ...images,
    ...peerNotes,
    ...sections.flatMap(({ title, command, notes, tables }) => [
      `## ${title}`,
      `\`${command}\``,
      ...notes,
      ...tables.map(alignedTable),
    ]),
    '',
  ].join('\n\n');
}

function targetRow({ what, atMost, atLeast, unit, measured }: Target): readonly string[] {
  const fraction = unit === ' ms' ? 2 : unit === ' %' ? 1 : 0;
  const limit = atMost ?? atLeast ?? Number.NaN;
  const isReached = atMost === undefined ? measured >= limit : measured <= limit;
  return [
    what,
    `${atMost === undefined ? '≥' : '≤'} ${limit.toLocaleString('en-US')}${unit}`,
    `${digits(measured, fraction)}${unit}`,
    isReached ? 'reached' : '**not reached**',
  ];
}

/** Markdown, padded so that it is readable as it is. */
function alignedTable({ columns, rows }: Table): string {
  const widths = columns.map((column, i) => Math.max(3, column.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(columns), line(widths.map((cells) => '-'.repeat(cells))), ...rows.map(line)].join('\n');
}
