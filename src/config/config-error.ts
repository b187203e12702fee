/** A configuration that is refused, and every reason why. */

/** One thing that is wrong. */
export interface ConfigFault {
  /** A file, `environment`, or `command line`. */
  readonly file: string;
  /** Counted from 1; 0 where there are no lines. */
  readonly line: number;
  /** Counted from 1; 0 where there are no lines. */
  readonly column: number;
  /** The field, like `plugins.Score.enabled[2].name`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
}

/** The configuration cannot be used. The message has one line for each fault, `file:line:column: path: what`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly ConfigFault[];

  constructor(file: string, faults: readonly ConfigFault[]) {
    super(
      [
        `Cannot use configuration "${file}": ${faults.length === 1 ? '1 fault' : `${faults.length} faults`}`,
        ...faults.map((fault) => `  ${faultText(fault)}`),
      ].join('\n'),
    );
    this.faults = faults;
  }
}

/** What breaks a line, or a terminal: a path has the keys that somebody wrote, a message may quote the file. */
const lineBreaks = /[\p{Cc}\p{Zl}\p{Zp}]+/gu;

/** A fault as one line: `file:line:column: path: what`. */
export function faultText({ file, line, column, path, message }: ConfigFault): string {
  return [line === 0 ? file : `${file}:${line}:${column}`, ...(path === '' ? [] : [path]), message]
    .join(': ')
    .replaceAll(lineBreaks, ' ');
}
