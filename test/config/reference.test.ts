import { describe, expect, it } from '@jest/globals';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { kthenaVariables } from '../../src/config/kthena-environment.ts';
import { parseConfig } from '../../src/config/load.ts';
import { configReference } from '../../src/config/reference.ts';
import { configSchema } from '../../src/config/schema.ts';
import { pluginDefinitions } from '../../src/scheduling/plugins/index.ts';

const docs = path.resolve(import.meta.dirname, '../../docs');
const page = configReference();

/** The YAML examples of the page, in their order. */
const examples = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map((match) => match[1] ?? '');

describe('configReference()', () => {
  it('is what docs/configuration.md says', () => {
    const file = readFileSync(path.join(docs, 'configuration.md'), 'utf8');
    const stale = file === page ? '' : 'docs/configuration.md is stale: `npm run docs` writes it anew';
    expect(stale).toBe('');
  });

  it('has every section, plugin and variable', () => {
    for (const section of Object.keys(configSchema.shape)) expect(page).toContain(`\n### ${section}\n`);
    for (const { type, description } of pluginDefinitions) {
      expect(page).toContain(`\`${type}\``);
      expect(page).toContain(description);
    }
    for (const { name } of kthenaVariables) expect(page).toContain(`| \`${name}\` |`);
  });

  it('has examples that can be used, the last one with nothing but defaults', () => {
    expect(examples.length).toBeGreaterThan(2);
    for (const example of examples) expect(parseConfig(example, 'example').warnings).toEqual([]);
    expect(parseConfig(examples.at(-1)!, 'example').config).toEqual(parseConfig('', 'nothing').config);
  });

  it('links to what there is', () => {
    const headings = new Set([...page.matchAll(/^#+ (.*)$/gm)].map((match) => anchorOf(match[1] ?? '')));
    for (const [, file, anchor] of page.matchAll(/\]\(([^)#]*)#?([^)]*)\)/g)) {
      if (file === '') expect([...headings]).toContain(anchor);
      else expect(existsSync(path.join(docs, file!))).toBe(true);
    }
  });
});

/** As GitHub makes it of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}
