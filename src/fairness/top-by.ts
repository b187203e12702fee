/** The heaviest of many. */

/** At most `limit` of the items, heaviest first; equals stay in order. What has no weight is left out. */
export function topBy<T>(
  items: Iterable<T>,
  weightOf: (item: T) => number | undefined,
  limit: number,
): readonly T[] {
  const top: { readonly item: T; readonly weight: number }[] = [];
  for (const item of items) {
    const weight = weightOf(item);
    if (weight === undefined) continue;
    let place = top.length;
    while (place > 0 && top[place - 1]!.weight < weight) place--;
    if (place >= limit) continue;
    top.splice(place, 0, { item, weight });
    if (top.length > limit) top.pop();
  }
  return top.map(({ item }) => item);
}
