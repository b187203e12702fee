/** What a configuration means, in words: for `sluice check`. */
import { faultText } from '../config-error.ts';
import { configForm, fieldsOf, type JsonSchema } from '../json-schema.ts';
import type { LoadedConfig } from '../load.ts';
import { isMapping, valueAt, type Written } from '../written.ts';
import { blockText, table, type Block } from './block.ts';
import { effectiveConfig } from './effective-config.ts';
import { explainScheduler } from './explain-scheduler.ts';
import { fieldRows, joinedPath, valueText } from './field-rows.ts';
import { withoutSecrets } from './secrets.ts';

/** Plain text, aligned, ending in a line feed. Secrets are masked. */
export function explainConfig(loaded: LoadedConfig): string {
  const form = configForm();
  const effective = masked(effectiveConfig(form, loaded), form);
  const written = masked(loaded.written, form);
  const blocks: readonly Block[] = [
    about(loaded),
    { title: 'Warnings: let pass by --lenient', lines: loaded.warnings.map(faultText) },
    { title: 'Notes', lines: loaded.notes },
    ...explainScheduler(form, loaded.config.scheduler.profile, effective, written),
    ...sections(form, effective, written),
    differences(form, effective, written),
  ];
  return `${blockText(blocks)}\n`;
}

function about({ file, form, skipped }: LoadedConfig): Block {
  return {
    title: `${file ?? 'The defaults'}: can be used`,
    lines: table([['form', form], ...skipped.map((document) => ['skipped', document])]),
  };
}

/** Sections of which everything is shown once something is written in them. */
const shownWhole: ReadonlySet<string> = new Set(['auth', 'fairness', 'models', 'sessions', 'discovery']);

/** What follows from such a section without being written in it. */
const remarks: Readonly<Record<string, (effective: unknown) => readonly string[]>> = {
  auth: (effective) =>
    valueAt(effective, ['issuer']) === undefined && valueAt(effective, ['providers']) === undefined
      ? ['no issuer: nobody has to show a token']
      : [],
  discovery(effective) {
    if (valueAt(effective, ['kubernetes']) !== undefined) return [];
    const backends = valueAt(effective, ['static', 'backends']);
    return Array.isArray(backends) && backends.length > 0
      ? []
      : ['none here: name engines with --static-backends, or find them with --service-discovery k8s'];
  },
};

function sections(form: JsonSchema, effective: Written, written: Written): readonly Block[] {
  return Object.entries(fieldsOf(form))
    .filter(([name]) => shownWhole.has(name))
    .map(([name, schema]) => {
      const rows = written[name] === undefined ? [] : fieldRows(schema, effective[name], written[name]);
      return {
        title: `${name.charAt(0).toUpperCase()}${name.slice(1)}`,
        lines: [
          ...(remarks[name]?.(effective[name]) ?? []),
          ...table(rows.map((row) => [row.path, valueText(row)])),
        ],
      };
    });
}

/** The fields of all other sections that are not as they are by default. */
function differences(form: JsonSchema, effective: Written, written: Written): Block {
  const rows = Object.entries(fieldsOf(form))
    .filter(([name]) => name !== 'scheduler' && !shownWhole.has(name))
    .flatMap(([name, schema]) =>
      fieldRows(schema, effective[name], written[name])
        .filter(({ isDefault, value, defaultValue }) => !isDefault && value !== defaultValue)
        .map(({ path, value, defaultValue }) => [
          joinedPath(name, path),
          value,
          defaultValue === undefined ? '' : `instead of ${defaultValue}`,
        ]),
    );
  return {
    title: 'Everything else',
    lines: rows.length === 0 ? ['has its default'] : [...table(rows), 'What is not listed has its default.'],
  };
}

function masked(config: Written, form: JsonSchema): Written {
  const safe = withoutSecrets(config, form);
  return isMapping(safe) ? safe : {};
}
