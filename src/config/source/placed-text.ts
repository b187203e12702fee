/** A text to parse, and where in the file each of its characters is written. */

export interface Position {
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 1. */
  readonly column: number;
}

/** Offsets of a part of a text: of its first character, and after its last. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface PlacedText {
  readonly text: string;
  /** The offset in the file that belongs to an offset in the text. */
  inFile(offset: number): number;
  positionAt(offset: number): Position;
  /** The line for a message: `line 3`, or `line 3 of the text` where the file has no such line. */
  lineAt(offset: number): string;
  /** Whether positions are exact. If not, a message has to name the line of the text. */
  readonly exact: boolean;
}

/** The text of a file, or one that has the same length and stands for it. */
export function wholeFile(original: string, text = original): PlacedText {
  const starts = lineStarts(original);
  const positionAt = (offset: number): Position => {
    const line = lineOf(starts, offset);
    return { line: line + 1, column: offset - starts[line]! + 1 };
  };
  return {
    text,
    inFile: (offset) => offset,
    positionAt,
    lineAt: (offset) => `line ${positionAt(offset).line}`,
    exact: true,
  };
}

/**
 * The value of a literal block scalar (`|`, `|-`, `|+`), whose header is at `headerAt` in the file. Such a value has the
 * lines of the file without their indentation, so that each character has a place of its own.
 */
export function literalBlock(file: PlacedText, headerAt: number, text: string): PlacedText {
  const starts = lineStarts(text);
  const fileStarts = contentStarts(file.text, headerAt, starts.length);
  const indent = indentOf(file.text, fileStarts, text, starts);
  // The last line break may be followed by what comes after the block: the end of the text is before it.
  let end = text.length;
  while (text[end - 1] === '\n') end--;
  const inFile = (offset: number): number => {
    const at = Math.min(offset, end);
    const line = lineOf(starts, at);
    const start = fileStarts[line]!;
    return Math.min(start + indent + (at - starts[line]!), endOfLine(file.text, start));
  };
  return {
    text,
    inFile,
    positionAt: (offset) => file.positionAt(inFile(offset)),
    lineAt: (offset) => file.lineAt(inFile(offset)),
    exact: true,
  };
}

/** The value of any other scalar, at `at` in the file: escapes and folds leave it no lines of its own there. */
export function wrappedText(file: PlacedText, at: number, text: string): PlacedText {
  const starts = lineStarts(text);
  return {
    text,
    inFile: () => at,
    positionAt: () => file.positionAt(at),
    lineAt: (offset) => `line ${lineOf(starts, offset) + 1} of the text`,
    exact: false,
  };
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}

/** The index of the last line that begins at or before the offset. */
function lineOf(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (starts[middle]! <= offset) low = middle;
    else high = middle;
  }
  return low;
}

/** Where the lines of a block begin in the file; lines that are not there begin at its end. */
function contentStarts(fileText: string, headerAt: number, count: number): number[] {
  const starts: number[] = [];
  let at = headerAt;
  for (let line = 0; line < count; line++) {
    const newline = fileText.indexOf('\n', at);
    at = newline === -1 ? fileText.length : newline + 1;
    starts.push(at);
  }
  return starts;
}

/** How much less each line has in the value than in the file, told by the first line that is not empty. */
function indentOf(
  fileText: string,
  fileStarts: readonly number[],
  text: string,
  starts: readonly number[],
): number {
  const first = starts.findIndex((start) => start < text.length && text[start] !== '\n');
  if (first === -1) return 0;
  const inFile = endOfLine(fileText, fileStarts[first]!) - fileStarts[first]!;
  return Math.max(0, inFile - (endOfLine(text, starts[first]!) - starts[first]!));
}

/** Where the line ends, before its line break. */
function endOfLine(text: string, start: number): number {
  const newline = text.indexOf('\n', start);
  if (newline === -1) return text.length;
  return newline > start && text[newline - 1] === '\r' ? newline - 1 : newline;
}
