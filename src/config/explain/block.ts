/** Plain text in headed, aligned blocks. */

/** A heading with lines below it. */
export interface Block {
  readonly title: string;
  readonly lines: readonly string[];
}

/** The blocks that have lines, an empty line between them. */
export function blockText(blocks: readonly Block[]): string {
  return blocks
    .filter(({ lines }) => lines.length > 0)
    .map(({ title, lines }) => [title, ...lines.map((line) => `  ${line}`)].join('\n'))
    .join('\n\n');
}

/** Cells one below the other, two spaces between them and none at the end of a line. */
export function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) {
    // The last cell of a row has nothing beside it that it could push away.
    row.slice(0, -1).forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  }
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
