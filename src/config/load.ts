/** From a file or folder, the environment and flags to a checked configuration, or to the list of all that is wrong. */
import type { z } from 'zod';
import { ConfigError, type ConfigFault } from './config-error.ts';
import { describeIssue, didYouMean, shown } from './describe-issue.ts';
import type { ConfigPath, Dialect, Finding } from './dialects/dialect.ts';
import { dialects } from './dialects/index.ts';
import { sluice } from './dialects/sluice.ts';
import { droppedNames } from './dropped-names.ts';
import { fieldsAt } from './fields-at.ts';
import { readKthenaEnvironment } from './kthena-environment.ts';
import { repaired, repairOf, type Repair } from './lenient.ts';
import { configSchema, type Config } from './schema.ts';
import { authNotes } from './sections/auth.ts';
import { limitNotes } from './sections/limits.ts';
import { queueNotes } from './sections/queueing.ts';
import {
  parseConfigKeys,
  parseConfigSource,
  readConfigSource,
  type ConfigSource,
} from './source/config-source.ts';
import { isMapping, layered, pathText, valueAt, type Written } from './written.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface LoadOptions {
  /** Environment variables that Kthena's router knows count below the file. Default: none. */
  readonly env?: Environment;
  /**
   * What the command line says for what the file leaves out: it counts below the file. A function is told what the file
   * says, in Sluice's own form.
   */
  readonly base?: Written | ((file: Written) => Written);
  /** What the command line says, in Sluice's own form: it counts above the file. */
  readonly flags?: Written;
  /** What Kthena would ignore becomes a warning. Default false: it is a fault. */
  readonly lenient?: boolean;
  /** An empty file is a fault: on a reload it is one that somebody is about to write. Default false: all defaults. */
  readonly refuseEmpty?: boolean;
}

/** A configuration that can be used. */
export interface LoadedConfig {
  readonly config: Config;
  /** Undefined where there is no file: everything has its default. */
  readonly file: string | undefined;
  /** Which accepted form the file has, for people. */
  readonly form: string;
  /** What the file says, in its own form. */
  readonly root: Written;
  /** Documents beside the configuration that say nothing to Sluice. */
  readonly skipped: readonly string[];
  /** What is written, in Sluice's own form, environment and flags included; what is absent has its default. */
  readonly written: Written;
  /** What `lenient` let pass. */
  readonly warnings: readonly ConfigFault[];
  /** What an operator should know: what has no effect, what is not safe. */
  readonly notes: readonly string[];
}

/**
 * Loads a configuration; without a path, what the environment and the flags say.
 *
 * @throws ConfigError for what is in the file or the environment, all of it; Error where there is nothing to read.
 */
export function loadConfig(path: string | undefined, options: LoadOptions = {}): LoadedConfig {
  return interpret(path === undefined ? undefined : readConfigSource(path), options);
}

/** The same for a text; `file` is what faults call it. */
export function parseConfig(text: string, file: string, options: LoadOptions = {}): LoadedConfig {
  return interpret(parseConfigSource(text, file), options);
}

/**
 * The same for the texts of a ConfigMap by their keys, one of which holds the configuration; `name` is what faults call
 * the ConfigMap.
 */
export function parseConfigMap(
  texts: Readonly<Record<string, string>>,
  name: string,
  options: LoadOptions = {},
): LoadedConfig {
  return interpret(parseConfigKeys(texts, name), options);
}

function interpret(source: ConfigSource | undefined, options: LoadOptions): LoadedConfig {
  const { env = {}, flags = {}, lenient = false, refuseEmpty = false } = options;
  const root = source?.root ?? {};
  const dialect = dialects.find((candidate) => candidate.recognises(root)) ?? sluice;
  const inFile = withEmptySections(dialect.toSluice(root), []);
  const base = typeof options.base === 'function' ? options.base(inFile) : (options.base ?? {});
  const environment = readKthenaEnvironment(env);
  const locate = createLocator(source, dialect, { base, flags }, environment.origins);

  const faults: ConfigFault[] = (dialect.check?.(root) ?? []).map((finding) => locate.inFile(finding));
  if (refuseEmpty && source !== undefined && Object.keys(root).length === 0)
    faults.push(locate.inFile({ path: [], message: 'is empty' }));
  const warnings: ConfigFault[] = [];
  for (const { variable, message } of environment.faults) {
    (lenient ? warnings : faults).push(fromEnvironment(variable, message));
  }

  const layers = layered(environment.written, base, inFile, flags);
  const { written, result, ignored } = lenient ? checkLeniently(layers) : check(layers);
  for (const { issue, of, repairs } of ignored)
    for (const finding of explain(issue, of)) {
      // An issue of several unknown fields is told as one fault for each.
      const own = repairs.filter(
        ({ path }) => issue.code !== 'unrecognized_keys' || path.at(-1) === finding.key,
      );
      const consequences = own.map((repair) => consequence(finding, repair, dialect));
      warnings.push(
        locate.inResult({ ...finding, message: `${finding.message}; ${consequences.join(', ')}` }),
      );
    }
  faults.push(...droppedNames(written).map((finding) => locate.inResult(finding)));
  for (const issue of result.error?.issues ?? []) {
    if (lenient && ignored.some((other) => other.issue === issue)) continue;
    faults.push(...explain(issue, written).map((finding) => locate.inResult(finding)));
  }
  if (!result.success || faults.length > 0) {
    const sorted = faults.toSorted(byPosition);
    throw new ConfigError(source?.file ?? sorted[0]?.file ?? '', sorted);
  }
  return {
    config: result.data,
    file: source?.file,
    form: formOf(source, dialect),
    root,
    skipped: source?.skipped ?? [],
    written,
    warnings: warnings.toSorted(byPosition),
    notes: [...environment.notes, ...notesOn(result.data)],
  };
}

interface Checked {
  readonly written: Written;
  readonly result: z.ZodSafeParseResult<Config>;
  readonly ignored: readonly Ignored[];
}

/** A fault that was let pass. */
interface Ignored {
  readonly issue: z.core.$ZodIssue;
  /** The configuration that it was found in. */
  readonly of: Written;
  readonly repairs: readonly Repair[];
}

function check(written: Written): Checked {
  return { written, result: configSchema.safeParse(written), ignored: [] };
}

/** Does what Kthena would do with each fault, until there is none, or one that Kthena would not ignore. */
function checkLeniently(layers: Written): Checked {
  const ignored: Ignored[] = [];
  let written = layers;
  for (;;) {
    const result = configSchema.safeParse(written);
    if (result.success) {
      // A check of tokens must not get lost by a typing error, whatever Kthena would do.
      const losesAuth =
        result.data.auth.providers.length === 0 && ignored.some(({ issue }) => issue.path[0] === 'auth');
      return losesAuth ? check(layers) : { written, result, ignored };
    }
    const found = result.error.issues.map((issue) => ({ issue, of: written, repairs: repairOf(issue) }));
    const repairable = found.filter((each): each is Ignored => each.repairs !== undefined);
    ignored.push(...repairable);
    // Repaired beside a fault that stays, the positions of list items would no longer be those of the file.
    if (repairable.length < found.length) return { written, result, ignored };
    written = repaired(
      written,
      repairable.flatMap(({ repairs }) => repairs),
    );
  }
}

/** What became of a fault that was let pass: said of the place of the fault, or of the place that was changed. */
function consequence({ path, key }: Finding, repair: Repair, dialect: Dialect): string {
  const place = pathText(dialect.toFile(repair.path));
  const isHere = [path, [...path, key ?? 'name'], path.at(-1) === 'name' ? path.slice(0, -1) : path].some(
    (here) => pathText(dialect.toFile(here)) === place,
  );
  const what = 'value' in repair ? `taken as ${shown(repair.value)}` : 'ignored';
  return isHere ? what : `${place} is ${what}`;
}

/** Sections with nothing below them (`limits:`) become empty mappings, which is what they mean. */
function withEmptySections(value: Written, path: ConfigPath): Written {
  const filled = (item: unknown, at: ConfigPath): unknown => {
    if (Array.isArray(item)) return item.map((element, i) => filled(element, [...at, i]));
    if (isMapping(item)) return withEmptySections(item, at);
    return item === null && fieldsAt(configSchema, at) !== undefined ? {} : item;
  };
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(item, [...path, key])]));
}

function explain(issue: z.core.$ZodIssue, written: Written): Finding[] {
  if (issue.code !== 'unrecognized_keys') {
    const key: unknown = issue.code === 'custom' ? issue.params?.['key'] : undefined;
    return [
      {
        path: issue.path,
        key: typeof key === 'string' ? key : undefined,
        message: describeIssue(issue, written),
      },
    ];
  }
  const fields = fieldsAt(configSchema, issue.path) ?? [];
  return issue.keys.map((key) => ({
    path: issue.path,
    key,
    message: unknownField(key, fields),
  }));
}

function unknownField(key: string, fields: readonly string[]): string {
  const hint = didYouMean(key, fields);
  return `there is no field ${shown(key)} here${hint === '' ? `; there are ${fields.join(', ')}` : hint}`;
}

interface Locator {
  /** For paths of the file's own form. */
  inFile(finding: Finding): ConfigFault;
  /** For paths of Sluice's own form, wherever they were written. */
  inResult(finding: Finding): ConfigFault;
}

function createLocator(
  source: ConfigSource | undefined,
  dialect: Dialect,
  commandLine: { readonly base: Written; readonly flags: Written },
  variables: ReadonlyMap<string, string>,
): Locator {
  const inFile = ({ path, key, message }: Finding): ConfigFault => ({
    file: source?.file ?? '',
    ...(source?.position(path, key) ?? { line: 0, column: 0 }),
    path: pathText(key === undefined ? path : [...path, key]),
    message,
  });
  return {
    inFile,
    inResult(finding) {
      const { path, key } = finding;
      const whole = key === undefined ? path : [...path, key];
      const fromFile = { ...finding, path: dialect.toFile(path) };
      const isInFile = valueAt(source?.root, fromFile.path) !== undefined;
      const isFlag = valueAt(commandLine.flags, whole) !== undefined;
      if (whole.length > 0 && (isFlag || (!isInFile && valueAt(commandLine.base, whole) !== undefined)))
        return { file: 'command line', line: 0, column: 0, path: pathText(whole), message: finding.message };
      const variable = variables.get(whole.join('.'));
      if (variable !== undefined && !isInFile) return fromEnvironment(variable, finding.message);
      return inFile(fromFile);
    },
  };
}

function fromEnvironment(variable: string, message: string): ConfigFault {
  return { file: 'environment', line: 0, column: 0, path: variable, message };
}

function byPosition(a: ConfigFault, b: ConfigFault): number {
  return a.line - b.line || a.column - b.column;
}

function formOf(source: ConfigSource | undefined, dialect: Dialect): string {
  if (source === undefined) return 'no file';
  return source.form === '' ? dialect.name : `${dialect.name}, ${source.form}`;
}

/** What an operator should know of a configuration without faults. */
function notesOn(config: Config): string[] {
  const { auth, limits, sessions, sessionBoost } = config;
  return [
    ...authNotes(auth),
    ...queueNotes(config),
    ...limitNotes(limits.rules, auth.providers.length > 0),
    ...droppedHeaders('sessions.headers', sessions.headers),
    ...droppedHeaders('sessionBoost.header', sessionBoost.enabled ? [sessionBoost.header] : []),
  ];
}

function droppedHeaders(field: string, names: readonly string[]): string[] {
  return names
    .filter((name) => name.includes('_'))
    .map((name) => `${field}: Envoy drops headers with "_" in their name, ${shown(name)} too`);
}
