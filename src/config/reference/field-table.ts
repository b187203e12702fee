/** Tables of fields in Markdown. */
import { stringify } from 'yaml';
import { fieldsOf, itemsOf, type JsonSchema } from '../json-schema.ts';
import { isMapping } from '../written.ts';

/** A Markdown table; cells may hold `|`. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

/** Every field of a section, those in mappings and lists by their path. */
export function fieldTable(section: JsonSchema): string {
  return markdownTable(['field', 'type', 'default', 'changes', 'meaning'], rowsOf(section, '', false));
}

/** The parameters of a plugin. */
export function parameterTable(parameters: Readonly<Record<string, JsonSchema>>): string {
  return markdownTable(
    ['parameter', 'type', 'default', 'meaning'],
    Object.entries(parameters).map(([name, schema]) => [
      code(name),
      typeText(schema),
      defaultText(schema),
      schema.description ?? '',
    ]),
  );
}

function rowsOf(section: JsonSchema, path: string, atStart: boolean): string[][] {
  const restart = atStart || section['x-restart'] === true;
  return Object.entries(fieldsOf(section)).flatMap(([name, field]) => {
    const fieldPath = path === '' ? name : `${path}.${name}`;
    const ownRestart = restart || field['x-restart'] === true;
    const row = [
      code(fieldPath),
      typeText(field),
      defaultText(field, section.required?.includes(name)),
      ownRestart ? 'restart' : 'at run time',
      field.description ?? '',
    ];
    // Where other fields are allowed, the form is somebody else's: that of a JWKS.
    if (field.additionalProperties !== undefined && field.additionalProperties !== false) return [row];
    const items = itemsOf(field);
    return [
      row,
      ...rowsOf(field, fieldPath, ownRestart),
      ...(items === undefined ? [] : rowsOf(items, `${fieldPath}[]`, ownRestart)),
    ];
  });
}

/** What may be written there, in words; of several, in the plural. */
function typeText(schema: JsonSchema, plural = false): string {
  const unit = schema['x-unit'];
  if (typeof unit === 'string') return plural ? `${unit}s` : unit;
  if (schema.const !== undefined) return code(String(schema.const));
  if (schema.enum !== undefined) {
    if (schema.title !== undefined) return `[${schema.title}${plural ? 's' : ''}](#${schema.title}s)`;
    return schema.enum.map((value) => code(String(value))).join(', ');
  }
  const branches = [...(schema.anyOf ?? []), ...(schema.oneOf ?? [])];
  if (branches.length > 0) {
    const texts = branches.map((branch) => (typeof branch === 'object' ? typeText(branch, plural) : ''));
    return [...new Set(texts.filter((text) => text !== ''))].join(' or ');
  }
  const types = [schema.type].flat().filter((type) => type !== undefined && type !== 'null');
  return types.map((type) => simpleType(type, schema, plural)).join(' or ');
}

function simpleType(type: string, schema: JsonSchema, plural: boolean): string {
  const s = plural ? 's' : '';
  switch (type) {
    case 'string':
      return `text${s}`;
    case 'boolean':
      return 'true or false';
    case 'integer':
      return `whole number${s}${rangeText(schema)}`;
    case 'number':
      return `number${s}${rangeText(schema)}`;
    case 'array':
      return `list${s}${ofWhat('of', itemsOf(schema))}`;
    case 'object': {
      const values = schema.additionalProperties;
      return `mapping${s}${ofWhat('of names to', typeof values === 'object' ? values : undefined)}`;
    }
    default:
      return '';
  }
}

function ofWhat(words: string, schema: JsonSchema = {}): string {
  const what = typeText(schema, true);
  return what === '' ? '' : ` ${words} ${what}`;
}

function rangeText({ minimum, exclusiveMinimum, maximum }: JsonSchema): string {
  if (minimum !== undefined && maximum !== undefined) return `, ${minimum} to ${maximum}`;
  if (minimum !== undefined) return `, ${minimum} or more`;
  if (exclusiveMinimum !== undefined) return `, more than ${exclusiveMinimum}`;
  return maximum === undefined ? '' : `, at most ${maximum}`;
}

function defaultText(schema: JsonSchema, required = false): string {
  const { default: value } = schema;
  if (value === undefined) return required ? 'required' : '';
  if (isMapping(value) || Array.isArray(value)) {
    if (Object.keys(value).length === 0) return Object.keys(fieldsOf(schema)).length === 0 ? 'none' : '';
    return code(stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim());
  }
  return code(typeof value === 'string' && value !== '' ? value : JSON.stringify(value));
}

function code(text: string): string {
  return `\`${text}\``;
}
