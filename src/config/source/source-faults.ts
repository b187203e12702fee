/** All that is wrong in a file, as far as finding the configuration in it goes. */
import type { ConfigFault } from '../config-error.ts';
import { configKeysText, listed, mistypedKey } from './config-keys.ts';
import { duplicateMistake, isHarmless } from './duplicate-keys.ts';
import type { Skipped } from './held-configurations.ts';
import { faultOfAll, toFault, type Mistake } from './mistake.ts';
import type { PlacedText } from './placed-text.ts';
import { templateMistakes } from './refused-templates.ts';
import type { Candidate, SourceReading } from './source-reading.ts';

/** The faults, in no order; none where there is one configuration, or none because the file is empty. */
export function sourceFaults(reading: SourceReading, file: string): ConfigFault[] {
  const { original, whole, unrendered, yaml, contents, candidates } = reading;
  const inFile = (mistake: Mistake) => toFault(mistake, whole, file);

  const syntax = yaml.syntaxMistakes.filter(isReal(candidates));
  const structure = [...duplicates(reading), ...contents.flatMap(({ mistakes }) => mistakes)];
  const helm = candidates.flatMap(({ held, refused }) => templateMistakes(refused, held.path, original));
  // A template elsewhere may be what makes the rest incomprehensible.
  if (helm.length === 0 && (syntax.length > 0 || structure.length > 0 || candidates.length === 0))
    helm.push(...templateMistakes(unrendered, [], original));
  if (syntax.length > 0) return [...syntax, ...helm].map(inFile);

  const rendered = candidates.filter(({ refused }) => refused.length === 0);
  const values = [...yaml.mistakes.filter(isReal(candidates)), ...rendered.flatMap(problems)];
  const faults = [...helm, ...structure, ...values, ...surplus(candidates, whole)].map(inFile);
  for (const { inner } of rendered)
    faults.push(...inner.mistakes.map((mistake) => toFault(mistake, inner.text, file)));
  if (candidates.length === 0 && structure.length === 0 && contents.length > 0)
    faults.push(faultOfAll(file, nothingFound(reading)));
  return faults;
}

/** `Deployment "x" (line 12)`. */
export function skippedText({ name, at }: Skipped, whole: PlacedText): string {
  return `${name} (${whole.lineAt(at)})`;
}

function duplicates({ whole, templates, yaml, contents, candidates }: SourceReading): Mistake[] {
  const manifests = contents.flatMap((content) => content.manifests);
  return yaml.duplicates
    .filter((duplicate) => !isHarmless(duplicate, manifests, templates))
    .map((duplicate) => duplicateMistake(duplicate, whole))
    .filter(isReal(candidates));
}

/** Whether a mistake is one, and not what the templates of a configuration look like. */
function isReal(candidates: readonly Candidate[]): (mistake: Mistake) => boolean {
  const unknown = candidates.flatMap(({ held: { field, tree }, document, refused }) => {
    const last = refused.at(-1);
    if (last === undefined) return [];
    if (field === undefined) return [{ start: document.from, end: document.to }];
    return [{ start: field.keyStart, end: Math.max(tree.end, last.end) }];
  });
  return ({ at }) => !unknown.some(({ start, end }) => at >= start && at <= end);
}

function problems({ held: { tree, path, problem } }: Candidate): Mistake[] {
  return problem === undefined ? [] : [{ at: tree.start, path, message: problem }];
}

function surplus([first, ...others]: readonly Candidate[], whole: PlacedText): Mistake[] {
  return others.map((other) => {
    const { form } = first!.held;
    const where = `${whole.lineAt(startOf(first!))}${form === '' ? '' : ` (${form})`}`;
    const message = `is a second configuration; the first is in ${where}: keep one of them`;
    return { at: startOf(other), path: other.held.path, message };
  });
}

function startOf({ held: { field, tree } }: Candidate): number {
  return field?.keyStart ?? tree.start;
}

function nothingFound({ contents, whole }: SourceReading): string {
  const skipped = contents.flatMap((content) => content.skipped);
  const names = skipped.map((one) => skippedText(one, whole));
  const there = names.length === 0 ? 'holds an empty List' : `holds ${listed(names)}`;
  const hint = mistypedKey(skipped.flatMap(({ keys }) => keys));
  return `${there}, which does not configure Sluice; needed is a ConfigMap with the key ${configKeysText}, a StaticRoute, or the configuration itself${hint}`;
}
