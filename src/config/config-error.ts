/** A configuration that is refused, and every reason why. */

/** One thing that is wrong. */
export interface ConfigFault {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** Counted from 1. */
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
    const lines = faults.map(
      (fault) =>
        `  ${fault.file}:${fault.line}:${fault.column}: ${fault.path === '' ? '' : `${fault.path}: `}${fault.message}`,
    );
    super(
      [
        `Cannot use configuration "${file}": ${faults.length === 1 ? '1 fault' : `${faults.length} faults`}`,
        ...lines,
      ].join('\n'),
    );
    this.faults = faults;
  }
}
