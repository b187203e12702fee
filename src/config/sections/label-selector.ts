/** Label selectors of Kubernetes, checked before the API server sees them. */

const name = '[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?';
const key = `(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?${name}`;
const value = `(?:${name})?`;
const requirements = [
  `!?\\s*${key}`,
  `${key}\\s*(?:=|==|!=)\\s*${value}`,
  `${key}\\s+(?:in|notin)\\s*\\(\\s*${value}(?:\\s*,\\s*${value})*\\s*\\)`,
].map((form) => new RegExp(`^${form}$`));

/**
 * The first part of a selector that the API server would refuse; undefined where it would take it. The forms are
 * `app=vllm`, `app!=vllm`, `app in (a, b)`, `app notin (a, b)`, `app` and `!app`, several of them with commas between.
 */
export function wrongRequirement(selector: string): string | undefined {
  if (selector.trim() === '') return undefined;
  return requirementsOf(selector).find((text) => !requirements.some((form) => form.test(text)));
}

/** Parts between commas that are not within parentheses. */
function requirementsOf(selector: string): string[] {
  return (selector.match(/(?:\([^)]*\)?|[^,(])+|(?<=,)(?=,|$)|^(?=,)/g) ?? []).map((part) => part.trim());
}
