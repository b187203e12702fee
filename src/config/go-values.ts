/** Values as Go's standard library reads them from text. What it reads and no person would write is refused. */

const bools: Readonly<Record<string, boolean>> = Object.fromEntries([
  ...['1', 't', 'T', 'TRUE', 'true', 'True'].map((text) => [text, true] as const),
  ...['0', 'f', 'F', 'FALSE', 'false', 'False'].map((text) => [text, false] as const),
]);

/** As strconv.ParseBool: one of twelve words; undefined otherwise. */
export function parseGoBool(text: string): boolean | undefined {
  return Object.hasOwn(bools, text) ? bools[text] : undefined;
}

/** As strconv.Atoi, up to 2^53; undefined otherwise. */
export function parseGoInt(text: string): number | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) ? withoutMinusZero(value) : undefined;
}

/** As strconv.ParseFloat, but decimal and finite only; undefined otherwise. */
export function parseGoFloat(text: string): number | undefined {
  if (!/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? withoutMinusZero(value) : undefined;
}

function withoutMinusZero(value: number): number {
  return value === 0 ? 0 : value;
}

const nsPerUnit: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1000n,
  // The micro sign, and the Greek letter that looks the same.
  '\u00b5s': 1000n,
  '\u03bcs': 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};
const part = /(\d*)(?:\.(\d*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/;
const parts = new RegExp(`^[+-]?(?:(?=\\.?\\d)${part.source})+$`);
const mostNs = 2n ** 63n;

/** As time.ParseDuration; milliseconds with a fraction, undefined where it is no duration. */
export function parseGoDurationMs(text: string): number | undefined {
  if (/^[+-]?0$/.test(text)) return 0;
  if (!parts.test(text)) return undefined;
  let ns = 0n;
  for (const [, whole, fraction, unit] of text.matchAll(new RegExp(part, 'g'))) {
    const unitNs = nsPerUnit[unit!]!;
    ns += BigInt(whole || '0') * unitNs;
    // In this order, as Go does it: 0.29s is 290 ms, not a nanosecond less.
    const digits = (fraction ?? '').slice(0, 19);
    ns += BigInt(Math.trunc(Number(digits) * (Number(unitNs) / 10 ** digits.length)));
  }
  const isNegative = text.startsWith('-');
  if (ns > mostNs || (ns === mostNs && !isNegative)) return undefined;
  const ms = Number(ns) / 1e6;
  return isNegative && ms > 0 ? -ms : ms;
}
