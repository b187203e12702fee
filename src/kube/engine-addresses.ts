/** Addresses of engines, and who looks like one but has none that can be used. */

export interface EngineAddress {
  /** IP address without brackets. */
  readonly address: string;
  readonly port: number;
}

/** What one object says of engines. */
export interface FoundEngines {
  readonly addresses: readonly EngineAddress[];
  /** Why something that is ready cannot be used, for people, e.g. `pod "a" has no TCP port named "http"`. */
  readonly leftOut: string | undefined;
}

/** What is known of a source of engines. */
export interface EngineReport extends FoundEngines {
  /** Whether the API server ever told the whole of it: before, no addresses means nothing. */
  readonly listed: boolean;
  /** Why the API server cannot be asked, as a sentence; the addresses are the last known ones then. */
  readonly problem: string | undefined;
}

/** Puts together what objects say: each address once, and a word for all that are left out. */
export function allEngines(found: Iterable<FoundEngines>): FoundEngines {
  const addresses = new Map<string, EngineAddress>();
  let leftOut: string | undefined;
  let count = 0;
  for (const each of found) {
    for (const engine of each.addresses) {
      const key = `${engine.address} ${engine.port}`;
      if (!addresses.has(key)) addresses.set(key, engine);
    }
    if (each.leftOut === undefined) continue;
    leftOut ??= each.leftOut;
    count++;
  }
  const more = count > 1 ? `, and ${count - 1} more` : '';
  return { addresses: [...addresses.values()], leftOut: leftOut === undefined ? undefined : leftOut + more };
}
