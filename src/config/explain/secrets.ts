/** Keeps secrets out of what is printed of a configuration. */
import { fieldsOf, itemsOf, type JsonSchema } from '../json-schema.ts';
import { isMapping } from '../written.ts';
import { branchFor, valuesOf } from './effective-config.ts';

const mask = '****';
const secretName = /(password|passwd|passphrase|secret|credentials?|(private|api|access)[-_]?keys?|token)$/i;
/** Members of a JSON Web Key that are not public. */
const secretOfKey: ReadonlySet<string> = new Set(['k', 'd', 'p', 'q', 'dp', 'dq', 'qi', 'oth']);

/**
 * The same value with `****` for what a field's name says is secret (a password, a secret, a token, a private or API
 * key), for the secret members of JSON Web Keys, and for users, passwords and secret query parameters of URLs. `schema`
 * tells the names of fields from those that users gave to models or groups.
 */
export function withoutSecrets(value: unknown, schema: JsonSchema = {}): unknown {
  if (typeof value === 'string') return withoutUrlSecrets(value);
  const form = branchFor(schema, value);
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, itemsOf(form)));
  if (!isMapping(value)) return value;
  const isKey = 'kty' in value;
  const fields = fieldsOf(form);
  const others = valuesOf(form);
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => {
      const named = Object.hasOwn(fields, name) || Object.keys(others).length === 0;
      const secret =
        (named && secretName.test(name) && holdsText(member)) || (isKey && secretOfKey.has(name));
      return [name, secret ? mask : withoutSecrets(member, fields[name] ?? others)];
    }),
  );
}

/** A switch or a number beside a secret is none itself. */
function holdsText(value: unknown): boolean {
  return (typeof value === 'string' && value !== '') || (Array.isArray(value) && value.length > 0);
}

function withoutUrlSecrets(text: string): string {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return text;
  return text
    .replace(/(?<=:\/\/)[^/?#]*@/, `${mask}@`)
    .replace(/([?&]([^=&#]*)=)[^&#]*/g, (whole, start: string, name: string) =>
      secretName.test(name) ? `${start}${mask}` : whole,
    );
}
