/** Loads a text in every way, and says what is wrong with what comes of it. */
import { isDeepStrictEqual } from 'node:util';
import { parseConfig, type LoadedConfig } from '../../../src/config/load.ts';
import { nonsenseIn, nonsenseInEffect, same } from './nonsense.ts';
import { mistakesIn } from './refusal.ts';

/** What faults call a text. */
export const file = 'f.yaml';

type Reading =
  | { readonly kind: 'taken'; readonly loaded: LoadedConfig }
  | { readonly kind: 'refused'; readonly error: unknown };

function read(text: string, lenient: boolean): Reading {
  try {
    return { kind: 'taken', loaded: parseConfig(text, file, { lenient }) };
  } catch (error) {
    return { kind: 'refused', error };
  }
}

export interface Verdict {
  readonly outcome: 'taken' | 'let pass' | 'refused';
  /** What is wrong with that; none where nothing is. */
  readonly complaints: readonly string[];
}

/** What becomes of a text, read strictly and leniently. */
export function judge(text: string): Verdict {
  const strict = read(text, false);
  const lenient = read(text, true);
  const complaints = isDeepStrictEqual(strict, read(text, false)) ? [] : ['read again, it is something else'];
  if (strict.kind === 'taken') {
    complaints.push(...nonsenseIn(text, strict.loaded));
    if (strict.loaded.warnings.length > 0) complaints.push('warnings where nothing was let pass');
    if (!isDeepStrictEqual(same(lenient), same(strict)))
      complaints.push('lenient makes something else of it');
    return { outcome: 'taken', complaints };
  }
  complaints.push(...mistakesIn(strict.error, text, file));
  if (lenient.kind === 'refused') {
    complaints.push(...mistakesIn(lenient.error, text, file));
    return { outcome: 'refused', complaints };
  }
  complaints.push(...nonsenseInEffect(lenient.loaded));
  if (lenient.loaded.warnings.length === 0) complaints.push('let pass without a word');
  return { outcome: 'let pass', complaints };
}
