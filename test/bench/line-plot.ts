/** Lines over time as SVG: plain enough to be read in a diff. */
import { colours, svgDocument, svgText } from './svg.ts';

export interface LinePlot {
  readonly title: string;
  /** What the horizontal axis counts, in every panel. */
  readonly xUnit: string;
  /** One below the other, each with scales of its own, from zero. */
  readonly panels: readonly LinePanel[];
}

export interface LinePanel {
  readonly title: string;
  readonly lines: readonly Line[];
}

export interface Line {
  readonly name: string;
  /** Dashes tell lines apart for whom colours do not. */
  readonly stroke: 'strong' | 'pale' | 'dashed';
  /** Ascending by x; none is negative. */
  readonly points: readonly Point[];
}

export type Point = readonly [x: number, y: number];

const width = 720;
const left = 56;
const right = 130;
const panelHeight = 170;
const headHeight = 34;
const axisHeight = 22;
const labelHeight = 16;

const strokes = {
  strong: `stroke="${colours.strong}" stroke-width="2.5"`,
  pale: `stroke="${colours.pale}" stroke-width="2.5"`,
  dashed: `stroke="${colours.grey}" stroke-width="2" stroke-dasharray="7 4"`,
} as const;

/** Draws a plot. */
export function drawLinePlot({ title, xUnit, panels }: LinePlot): string {
  const lines = [svgText(0, 22, title, 'font-size="15" font-weight="bold"')];
  let y = 22;
  for (const panel of panels) {
    y += headHeight;
    lines.push(svgText(0, y, panel.title, 'font-weight="bold"'));
    lines.push(...drawPanel(panel, xUnit, y + 12));
    y += 12 + panelHeight + axisHeight;
  }
  return svgDocument(title, width, y + 16, lines);
}

function drawPanel({ lines }: LinePanel, xUnit: string, top: number): string[] {
  const points = lines.flatMap((line) => line.points);
  const xs = axisTicks(Math.max(...points.map(([x]) => x)));
  const ys = axisTicks(Math.max(...points.map(([, y]) => y)));
  const bottom = top + panelHeight;
  const atX = (x: number): number => left + ((width - left - right) * x) / xs.at(-1)!;
  const atY = (y: number): number => bottom - (panelHeight * y) / ys.at(-1)!;

  const grid = ys.flatMap((y) => [
    `<line x1="${left}" y1="${atY(y).toFixed(1)}" x2="${width - right}" y2="${atY(y).toFixed(1)}" stroke="${colours.grey}" stroke-opacity="0.25"/>`,
    svgText(left - 8, Math.round(atY(y) + 4), short(y), 'text-anchor="end"'),
  ]);
  const scale = xs.map((x, i) =>
    svgText(
      atX(x),
      bottom + 18,
      i === xs.length - 1 ? `${short(x)} ${xUnit}` : short(x),
      'text-anchor="middle"',
    ),
  );
  const drawn = lines.map(({ points: of, stroke }) => {
    const path = of.map(([x, y]) => `${atX(x).toFixed(1)},${atY(y).toFixed(1)}`).join(' ');
    return `<polyline points="${path}" fill="none" stroke-linejoin="round" ${strokes[stroke]}/>`;
  });
  const ends = spread(
    lines.map(({ points: of }) => atY(of.at(-1)![1])),
    labelHeight,
    bottom,
  );
  const names = lines.map(({ name, points: of }, i) =>
    svgText(width - right + 8, Math.round(ends[i]! + 4), `${name}, ${short(of.at(-1)![1])}`, ''),
  );
  return [...grid, ...scale, ...drawn, ...names];
}

/** Zero and round numbers at even distances; the last one is `most` or a little more. */
function axisTicks(most: number): number[] {
  if (!(most > 0)) return [0, 1];
  const power = 10 ** Math.floor(Math.log10(most / 2));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => most / size <= 5)!;
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
}

/** Moves places apart that are closer together than `distance`, upwards from `lowest`; order stays. */
function spread(places: readonly number[], distance: number, lowest: number): number[] {
  const spaced = [...places];
  let limit = lowest;
  const upwards = places.map((_, i) => i).sort((a, b) => places[b]! - places[a]!);
  for (const i of upwards) {
    spaced[i] = Math.min(places[i]!, limit);
    limit = spaced[i] - distance;
  }
  return spaced;
}

/** 1,234 is 1.2k. */
function short(value: number): string {
  if (value >= 1e6) return `${trimmed(value / 1e6)}M`;
  if (value >= 1e3) return `${trimmed(value / 1e3)}k`;
  return trimmed(value);
}

function trimmed(value: number): string {
  return String(Math.round(value * 10) / 10);
}
