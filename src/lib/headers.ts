/** HTTP header fields in the order they arrived, duplicates kept. */

export class Headers {
  /** Name, value, name, value …: names in lower case. */
  readonly #pairs: readonly string[];

  constructor(pairs: readonly string[]) {
    this.#pairs = pairs;
  }

  static of(fields: Readonly<Record<string, string>>): Headers {
    return new Headers(Object.entries(fields).flat());
  }

  /** The first value under this lower-case name. */
  get(name: string): string | undefined {
    const pairs = this.#pairs;
    for (let i = 0; i < pairs.length; i += 2) if (pairs[i] === name) return pairs[i + 1];
    return undefined;
  }

  /** Every value under this lower-case name. */
  getAll(name: string): string[] {
    const values: string[] = [];
    for (let i = 0; i < this.#pairs.length; i += 2)
      if (this.#pairs[i] === name) values.push(this.#pairs[i + 1]!);
    return values;
  }

  /** Names for which `matches` holds; a name that occurs twice is listed twice. */
  names(matches: (name: string) => boolean): string[] {
    const names: string[] = [];
    for (let i = 0; i < this.#pairs.length; i += 2) if (matches(this.#pairs[i]!)) names.push(this.#pairs[i]!);
    return names;
  }
}
