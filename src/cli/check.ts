/** `sluice check`: says whether configurations can be used, and what they mean. */
import { Command } from 'commander';
import { readFileSync } from 'node:fs';
import { ConfigError, type ConfigFault } from '../config/config-error.ts';
import { effectiveConfig } from '../config/explain/effective-config.ts';
import { explainConfig } from '../config/explain/explain-config.ts';
import { withoutSecrets } from '../config/explain/secrets.ts';
import { configForm, configJsonSchema } from '../config/json-schema.ts';
import { loadConfig, parseConfig, type LoadedConfig, type LoadOptions } from '../config/load.ts';

interface CheckFlags {
  readonly lenient: boolean;
  readonly withEnv: boolean;
  readonly json: boolean;
  readonly schema: boolean;
}

/** What came of one file. */
type Verdict =
  | { readonly kind: 'usable'; readonly file: string; readonly loaded: LoadedConfig }
  | { readonly kind: 'refused'; readonly file: string; readonly error: Error };

/**
 * The command. What can be used is explained on standard output; the action throws one Error with all faults of all
 * files where one cannot.
 */
export function checkCommand(readStdin: () => string = () => readFileSync(0, 'utf8')): Command {
  return new Command('check')
    .description('Say whether configurations can be used, and what they mean')
    .argument('[files...]', 'files or mounted ConfigMap folders; - is standard input')
    .option('--lenient', 'only warn of what Kthena would silently ignore', false)
    .option('--with-env', "count the environment variables of Kthena's router, as serve and router do", false)
    .option('--json', 'print one JSON document: a list with an item for each file', false)
    .option('--schema', "print the JSON Schema of Sluice's own form, for editors", false)
    .action((files: readonly string[], { lenient, withEnv, json, schema }: CheckFlags, command: Command) => {
      if (schema) {
        print(configJsonSchema());
        return;
      }
      if (files.length === 0) command.error('error: name a file to check, or ask for the --schema');
      const options: LoadOptions = { lenient, ...(withEnv ? { env: process.env } : {}) };
      const verdicts = files.map((file) => verdictOn(file, options, readStdin));
      if (json) print(verdicts.map(report));
      else process.stdout.write(explanations(verdicts));
      throwRefusals(verdicts);
    });
}

function verdictOn(path: string, options: LoadOptions, readStdin: () => string): Verdict {
  const file = path === '-' ? 'stdin' : path;
  try {
    const loaded = path === '-' ? parseConfig(readStdin(), file, options) : loadConfig(path, options);
    return { kind: 'usable', file, loaded };
  } catch (error) {
    return { kind: 'refused', file, error: error instanceof Error ? error : new Error(String(error)) };
  }
}

function explanations(verdicts: readonly Verdict[]): string {
  return verdicts
    .flatMap((verdict) => (verdict.kind === 'usable' ? [explainConfig(verdict.loaded)] : []))
    .join('\n');
}

/** The item of one file: always with the same fields. */
function report(verdict: Verdict): Readonly<Record<string, unknown>> {
  const { file } = verdict;
  if (verdict.kind === 'refused') {
    const faults = faultsOf(file, verdict.error);
    return { file, form: null, valid: false, faults, warnings: [], notes: [], skipped: [], config: null };
  }
  const { form, warnings, notes, skipped } = verdict.loaded;
  const schema = configForm();
  const config = withoutSecrets(effectiveConfig(schema, verdict.loaded), schema);
  return { file, form, valid: true, faults: [], warnings, notes, skipped, config };
}

function faultsOf(file: string, error: Error): readonly ConfigFault[] {
  if (error instanceof ConfigError) return error.faults;
  return [{ file, line: 0, column: 0, path: '', message: error.message }];
}

function throwRefusals(verdicts: readonly Verdict[]): void {
  const errors = verdicts.flatMap((verdict) => (verdict.kind === 'refused' ? [verdict.error] : []));
  const [first, ...others] = errors;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  throw new Error(
    [
      `Cannot use ${errors.length} of ${verdicts.length} configurations`,
      ...errors.map(({ message }) => message),
    ].join('\n'),
    { cause: errors },
  );
}

function print(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
}
