/** The `models` section. */
import { z } from 'zod';
import { shown } from '../describe-issue.ts';

/** The same bound as for the names that clients send, in UTF-16 units. */
const maxNameCharacters = 256;

const names = z.record(z.string(), z.string()).nullable().default({});

/** Names that stand for models, each with the model that engines are asked for. */
export const modelsSection = z
  .strictObject({
    aliases: names.describe(
      'Additional names of served models: the name that clients use, and the model that engines are asked for. They are listed under /v1/models. Where an engine serves a model of that very name, the engine wins: the alias does nothing, and a warning in the log says so.',
    ),
    rewrites: names.describe(
      'Models to use in place of others, for migrations and canaries: the name that clients use, and the model that engines are asked for, even where an engine serves a model of the first name. They are not listed under /v1/models.',
    ),
  })
  .transform((written, context) => {
    const aliases = new Map(Object.entries(written.aliases ?? {}));
    const rewrites = new Map(Object.entries(written.rewrites ?? {}));
    const renames: Renames = { aliases, rewrites };
    for (const section of ['aliases', 'rewrites'] as const) {
      for (const [name, target] of renames[section]) {
        const message = faultOf(name, target, renames);
        if (message !== undefined) context.addIssue({ code: 'custom', path: [section, name], message });
      }
    }
    for (const name of rewrites.keys()) {
      if (!aliases.has(name)) continue;
      const message = `${shown(name)} is an alias as well: give the alias this target, or remove it`;
      context.addIssue({ code: 'custom', path: ['rewrites', name], message });
    }
    return renames;
  });

interface Renames {
  readonly aliases: ReadonlyMap<string, string>;
  readonly rewrites: ReadonlyMap<string, string>;
}

/** What is wrong with one entry, the most basic fault first. */
function faultOf(name: string, target: string, renames: Renames): string | undefined {
  const wrongName = nameFault(name);
  if (wrongName !== undefined) return `the name ${shown(name)} ${wrongName}`;
  const wrongTarget = nameFault(target);
  if (wrongTarget !== undefined) return `the target ${shown(target)} ${wrongTarget}`;
  if (target === name) return `${shown(name)} is its own target`;
  return chainFault(name, target, renames);
}

/** Why engines or clients could not use a name. */
function nameFault(name: string): string | undefined {
  if (name.trim() === '') return 'is blank';
  if (/\p{Cc}/u.test(name)) return 'has control characters';
  if (!name.isWellFormed()) return 'is not well-formed Unicode';
  return name.length > maxNameCharacters ? `is longer than ${maxNameCharacters} characters` : undefined;
}

/** A request is renamed once: a target that is renamed too would not be what it seems. */
function chainFault(name: string, target: string, { aliases, rewrites }: Renames): string | undefined {
  const next = (model: string): string | undefined => rewrites.get(model) ?? aliases.get(model);
  const behind = next(target);
  if (behind === undefined) return undefined;
  const seen = new Set([name, target]);
  let last = behind;
  while (!seen.has(last)) {
    const following = next(last);
    if (following === undefined) {
      const relation = rewrites.has(target) ? 'rewritten to' : 'an alias of';
      return `the target ${shown(target)} is itself ${relation} ${shown(behind)}: name ${shown(last)} instead`;
    }
    seen.add(last);
    last = following;
  }
  return `${[...seen, last].map(shown).join(' → ')} goes in a circle`;
}
