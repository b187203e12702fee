/** Horizontal bars as SVG: plain enough to be read in a diff. */
import { colours, svgDocument, svgText } from './svg.ts';

export interface Plot {
  readonly title: string;
  readonly unit: string;
  /** Each has a scale of its own, from zero. */
  readonly panels: readonly {
    readonly title: string;
    readonly bars: readonly { readonly name: string; readonly value: number; readonly emphasis: boolean }[];
  }[];
}

const width = 720;
const nameWidth = 290;
const valueWidth = 80;
const rowHeight = 24;
const headHeight = 34;

/** Draws a plot. */
export function drawPlot({ title, unit, panels }: Plot): string {
  const lines: string[] = [];
  let y = 22;
  lines.push(svgText(0, y, title, 'font-size="15" font-weight="bold"'));
  for (const panel of panels) {
    y += headHeight;
    lines.push(svgText(0, y, panel.title, 'font-weight="bold"'));
    const longest = Math.max(...panel.bars.map((bar) => bar.value), Number.MIN_VALUE);
    for (const { name, value, emphasis } of panel.bars) {
      y += rowHeight;
      const length = Math.max(1, ((width - nameWidth - valueWidth) * Math.max(0, value)) / longest);
      lines.push(
        svgText(nameWidth - 8, y, name, 'text-anchor="end"'),
        `<rect x="${nameWidth}" y="${y - 13}" width="${length.toFixed(1)}" height="16" fill="${emphasis ? colours.strong : colours.pale}"/>`,
        svgText(nameWidth + length + 6, y, `${rounded(value)} ${unit}`, ''),
      );
    }
  }
  return svgDocument(title, width, y + 16, lines);
}

function rounded(value: number): string {
  return value >= 10 ? String(Math.round(value)) : value.toFixed(2);
}
