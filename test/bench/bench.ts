/** What every part of the benchmark works with, and what it gives back. */
import type { Children } from './children.ts';

export interface Bench {
  readonly children: Children;
  /** For files of this run; removed at its end. */
  readonly folder: string;
  /** Short runs: figures to see that everything works, not to believe. */
  readonly quick: boolean;
  /** Flags of Node for Sluice in place of the shipped ones. */
  readonly nodeFlags: readonly string[] | undefined;
  /** Tells whoever waits what is being done. */
  progress(text: string): void;
}

/** Rows under column names; numbers are already texts. */
export interface Table {
  /** Of a section with tables about several things. */
  readonly title?: string;
  /** What the table alone is about, on the page; Markdown paragraphs. */
  readonly notes?: readonly string[];
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** Shown below it on the page. */
  readonly drawing?: Drawing;
}

export interface Drawing {
  /** Name of its file. */
  readonly name: string;
  readonly title: string;
  readonly svg: string;
}

/** A figure that was promised, beside what was measured. */
export interface Target {
  readonly what: string;
  readonly atMost?: number;
  readonly atLeast?: number;
  readonly unit: string;
  readonly measured: number;
}

/** Figures of this run that are drawn beside those of others, by series name. */
export type PlotValues = Readonly<Record<string, number>>;

/** What one part measured. */
export interface Section {
  readonly title: string;
  /** How it was measured and how to read it; Markdown paragraphs. */
  readonly notes: readonly string[];
  readonly tables: readonly Table[];
  readonly targets: readonly Target[];
  readonly plots?: PlotValues;
}

/** A section that was run. */
export interface SectionRun extends Section {
  /** Runs it again. */
  readonly command: string;
  /** How many cores other processes of the machine used meanwhile. */
  readonly disturbingCores: number;
}

/** A number with as many digits as it deserves. */
export function digits(value: number, fraction = 0): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: fraction, maximumFractionDigits: fraction });
}
