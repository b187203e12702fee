/** One accepted form of a configuration file. */

/** Where something is in a file: the keys and list positions that lead to it. */
export type ConfigPath = readonly PropertyKey[];

/** How one form relates to Sluice's own. */
export interface Dialect {
  readonly name: string;
  /** Whether a file with this content is written in this form. The first dialect that says so is used. */
  recognises(root: Readonly<Record<string, unknown>>): boolean;
  /** The same in Sluice's own form. Checks nothing: that is done once, on the result. */
  toSluice(root: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
  /** Where the file says what Sluice's own form says at `path`. */
  toFile(path: ConfigPath): ConfigPath;
}
