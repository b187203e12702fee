/** From a YAML file to a checked configuration, or to the list of all that is wrong with it. */
import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import type { z } from 'zod';
import { ConfigError } from './config-error.ts';
import type { ConfigFault } from './config-error.ts';
import { describeIssue, didYouMean, shown } from './describe-issue.ts';
import type { ConfigPath, Dialect } from './dialects/dialect.ts';
import { dialects } from './dialects/index.ts';
import { sluice } from './dialects/sluice.ts';
import { fieldsAt } from './fields-at.ts';
import { positionOf } from './positions.ts';
import { configSchema } from './schema.ts';
import type { Config } from './schema.ts';

/** Reads a file; without one, everything has its default. Throws ConfigError for what is in it. */
export function loadConfig(path: string | undefined): Config {
  if (path === undefined) return configSchema.parse({});
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot read configuration "${path}": ${why}`, { cause });
  }
  return parseConfig(text, path);
}

/** Parses and checks the text of a configuration; `file` is what faults call it. Throws ConfigError. */
export function parseConfig(text: string, file: string): Config {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const mistakes = [...document.errors, ...document.warnings];
  if (mistakes.length > 0) {
    throw new ConfigError(
      file,
      mistakes.map(({ pos, message }) => {
        const { line, col } = lines.linePos(pos[0]);
        return { file, line, column: col, path: '', message };
      }),
    );
  }

  const root = toPlain(document, file) ?? {};
  if (!isMapping(root)) {
    throw new ConfigError(file, [
      {
        file,
        ...positionOf(document, lines, []),
        path: '',
        message: `${shown(root)} is not a mapping of sections`,
      },
    ]);
  }
  const dialect = dialects.find((candidate) => candidate.recognises(root)) ?? sluice;
  const written = withEmptySections(dialect.toSluice(root), []);
  const result = configSchema.safeParse(written);
  if (result.success) return result.data;

  const faults = result.error.issues
    .flatMap((issue) => explain(issue, written, dialect))
    .map(({ path, key, message }): ConfigFault => {
      const name = pathText(key === undefined ? path : [...path, key]);
      return { file, ...positionOf(document, lines, path, key), path: name, message };
    });
  throw new ConfigError(
    file,
    faults.toSorted((a, b) => a.line - b.line || a.column - b.column),
  );
}

function toPlain(document: Document, file: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    // Aliases that multiply without end.
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError(file, [{ file, line: 1, column: 1, path: '', message }]);
  }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Sections with nothing below them (`limits:`) become empty mappings, which is what they mean. */
function withEmptySections(value: unknown, path: ConfigPath): unknown {
  if (Array.isArray(value)) return value.map((item, i) => withEmptySections(item, [...path, i]));
  if (isMapping(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, withEmptySections(item, [...path, key])]),
    );
  }
  return value === null && fieldsAt(configSchema, path) !== undefined ? {} : value;
}

interface Finding {
  readonly path: ConfigPath;
  /** The unknown field at the path that this is about. */
  readonly key: string | undefined;
  readonly message: string;
}

function explain(issue: z.core.$ZodIssue, written: unknown, dialect: Dialect): Finding[] {
  const path = dialect.toFile(issue.path);
  if (issue.code !== 'unrecognized_keys')
    return [{ path, key: undefined, message: describeIssue(issue, written) }];
  const fields = fieldsAt(configSchema, issue.path) ?? [];
  return issue.keys.map((key) => ({ path, key, message: unknownField(key, fields, path) }));
}

/** Sections that promise something this version does not do. Ignoring them would be a security hole or a surprise. */
const missingSections: Readonly<Record<string, string>> = {
  auth: 'this version of Sluice does not check tokens: remove the section, and keep strangers out in front of Envoy',
  fairness: 'this version of Sluice does not queue requests by user: remove the section',
  models: 'this version of Sluice has no model aliases or limits: remove the section',
};

function unknownField(key: string, fields: readonly string[], path: ConfigPath): string {
  const missing = path.length === 0 && Object.hasOwn(missingSections, key) ? missingSections[key] : undefined;
  if (missing !== undefined) return missing;
  const hint = didYouMean(key, fields);
  return `there is no field ${shown(key)} here${hint === '' ? `; there are ${fields.join(', ')}` : hint}`;
}

function pathText(path: ConfigPath): string {
  return path
    .map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i === 0 ? '' : '.'}${String(step)}`))
    .join('');
}
