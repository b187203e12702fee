/** Horizontal bars as SVG: plain enough to be read in a diff. */

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

/** Draws a plot; grey text and two blues can be read on light and on dark pages. */
export function drawPlot({ title, unit, panels }: Plot): string {
  const lines: string[] = [];
  let y = 22;
  lines.push(text(0, y, title, 'font-size="15" font-weight="bold"'));
  for (const panel of panels) {
    y += headHeight;
    lines.push(text(0, y, panel.title, 'font-weight="bold"'));
    const longest = Math.max(...panel.bars.map((bar) => bar.value), Number.MIN_VALUE);
    for (const { name, value, emphasis } of panel.bars) {
      y += rowHeight;
      const length = Math.max(1, ((width - nameWidth - valueWidth) * Math.max(0, value)) / longest);
      lines.push(
        text(nameWidth - 8, y, name, 'text-anchor="end"'),
        `<rect x="${nameWidth}" y="${y - 13}" width="${length.toFixed(1)}" height="16" fill="${emphasis ? '#2f6fde' : '#9db7dd'}"/>`,
        text(nameWidth + length + 6, y, `${rounded(value)} ${unit}`, ''),
      );
    }
  }
  const height = y + 16;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" font-family="system-ui, sans-serif" font-size="13" fill="#777">`,
    `<title>${escaped(title)}</title>`,
    ...lines,
    '</svg>',
    '',
  ].join('\n');
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x.toFixed(1)}" y="${y}"${attributes === '' ? '' : ` ${attributes}`}>${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

function rounded(value: number): string {
  return value >= 10 ? String(Math.round(value)) : value.toFixed(2);
}
