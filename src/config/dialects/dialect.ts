/** One accepted form of a configuration file. */

/** Where something is in a file: the keys and list positions that lead to it. */
export type ConfigPath = readonly PropertyKey[];

/** Something wrong in a file, at the place where the file says it. */
export interface Finding {
  readonly path: ConfigPath;
  /** The field of the mapping at the path that this is about, where it is about the field and not its value. */
  readonly key?: string | undefined;
  readonly message: string;
}

/** How one form relates to Sluice's own. */
export interface Dialect {
  readonly name: string;
  /** Whether a file with this content is written in this form. The first dialect that says so is used. */
  recognises(root: Readonly<Record<string, unknown>>): boolean;
  /** The same in Sluice's own form. What that form can say is not checked here, but once, on the result. */
  toSluice(root: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
  /** What is wrong in ways that Sluice's own form cannot show; absent means nothing can be. */
  check?(root: Readonly<Record<string, unknown>>): readonly Finding[];
  /** Where the file says what Sluice's own form says at `path`. */
  toFile(path: ConfigPath): ConfigPath;
}
