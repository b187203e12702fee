/** A cap on the values of one metric label, so that nobody can grow our memory by inventing names. */

/** What all values beyond the cap are called. */
const otherLabel = 'other';

/**
 * Creates a function that returns its argument for the first `max` distinct values and `other` for all later ones.
 * A value that was let in stays in: series never change their meaning.
 */
export function boundedLabel(max: number): (value: string) => string {
  const known = new Set<string>();
  return (value) => {
    if (known.has(value)) return value;
    if (known.size >= max) return otherLabel;
    known.add(value);
    return value;
  };
}
