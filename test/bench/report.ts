/** docs/performance.md and its drawings, and the same tables for a terminal. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { digits, type SectionRun, type Table, type Target } from './bench.ts';
import { comparisonPlots, peerNotes } from './peers.ts';
import { drawPlot } from './plot.ts';

export interface Report {
  readonly machine: readonly (readonly [string, string])[];
  readonly quick: boolean;
  readonly sections: readonly SectionRun[];
}

/** A section as it is read at a terminal. */
export function printable(section: SectionRun): string {
  const { title, tables, targets } = section;
  return [
    `\n## ${title}`,
    ...tables.flatMap((table) => [...heading(table), alignedTable(table)]),
    ...targets.map((target) => targetRow(target, section).join('   ')),
    ...disturbance(section),
  ].join('\n\n');
}

/** More than this, and figures of two runs differ by more than what is looked for. */
const tolerableCores = 0.15;

function isDisturbed({ disturbingCores }: SectionRun): boolean {
  return disturbingCores > tolerableCores;
}

function disturbance(section: SectionRun): string[] {
  if (!isDisturbed(section)) return [];
  return [
    `**Disturbed**: other processes of the machine used ${digits(section.disturbingCores, 1)} cores meanwhile. These figures are an upper bound at best.`,
  ];
}

/** Writes the page and its drawings below `docs`. */
export function writeReport(report: Report, docs: string): void {
  const images = path.join(docs, 'img');
  mkdirSync(images, { recursive: true });
  const measured = Object.assign({}, ...report.sections.map(({ plots }) => plots)) as Record<string, number>;
  const plots = comparisonPlots(measured);
  for (const [name, plot] of plots) writeFileSync(path.join(images, name), drawPlot(plot));
  for (const section of report.sections) writeDrawings(section, images);
  const page = markdown(
    report,
    [...plots].map(([name, { title }]) => image(name, title)),
  );
  writeFileSync(path.join(docs, 'performance.md'), page);
}

/**
 * Puts sections that were measured by themselves in their place in the page, or at its end, with their own targets and
 * machine: the others stay as they are.
 */
export function updateReport({ machine, sections }: Report, docs: string): void {
  const file = path.join(docs, 'performance.md');
  let page = readFileSync(file, 'utf8').trimEnd();
  for (const section of sections) {
    const targets = section.targets.map((target) => targetRow(target, section));
    const text = sectionText(section, [
      `Measured by itself: ${machine.map(([name, value]) => `${name} ${value}`).join(', ')}.`,
      alignedTable({ columns: ['what', 'target', 'measured', ''], rows: targets }),
    ]).join('\n\n');
    writeDrawings(section, path.join(docs, 'img'));
    const start = page.indexOf(`\n## ${section.title}\n`);
    const next = page.indexOf('\n## ', start + 1);
    page =
      start < 0
        ? `${page}\n\n${text}`
        : `${page.slice(0, start + 1)}${text}${next < 0 ? '' : `\n${page.slice(next)}`}`;
  }
  writeFileSync(file, `${page}\n`);
}

function writeDrawings({ tables }: SectionRun, images: string): void {
  for (const { drawing } of tables)
    if (drawing !== undefined) writeFileSync(path.join(images, drawing.name), drawing.svg);
}

function sectionText(section: SectionRun, more: readonly string[] = []): string[] {
  return [
    `## ${section.title}`,
    `\`${section.command}\``,
    ...more,
    ...section.notes,
    ...disturbance(section),
    ...section.tables.flatMap(described),
  ];
}

function markdown({ machine, quick, sections }: Report, images: readonly string[]): string {
  const targets = sections.flatMap((section) => section.targets.map((target) => targetRow(target, section)));
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
    alignedTable({ columns: ['what', 'target', 'measured', ''], rows: targets }),
    '## Beside others',
    ...images,
    ...peerNotes,
    ...sections.flatMap((section) => sectionText(section)),
    '',
  ].join('\n\n');
}

/** A table with all that belongs to it. */
function described(table: Table): string[] {
  const { notes = [], drawing } = table;
  const images = drawing === undefined ? [] : [image(drawing.name, drawing.title)];
  return [...heading(table), ...notes, alignedTable(table), ...images];
}

function heading({ title }: Table): string[] {
  return title === undefined ? [] : [`### ${title}`];
}

function image(name: string, title: string): string {
  return `![${title}](img/${name})`;
}

function targetRow(
  { what, atMost, atLeast, unit, measured }: Target,
  section: SectionRun,
): readonly string[] {
  const fraction = unit === ' ms' ? 2 : unit === ' %' ? 1 : 0;
  const limit = atMost ?? atLeast ?? Number.NaN;
  const isReached = atMost === undefined ? measured >= limit : measured <= limit;
  return [
    what,
    `${atMost === undefined ? '≥' : '≤'} ${limit.toLocaleString('en-US')}${unit}`,
    `${digits(measured, fraction)}${unit}`,
    (isReached ? 'reached' : '**not reached**') + (isDisturbed(section) ? ' (disturbed)' : ''),
  ];
}

/** Markdown, padded so that it is readable as it is. */
function alignedTable({ columns, rows }: Table): string {
  const widths = columns.map((column, i) => Math.max(3, column.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`;
  return [line(columns), line(widths.map((cells) => '-'.repeat(cells))), ...rows.map(line)].join('\n');
}
