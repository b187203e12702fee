import { describe, expect, it } from '@jest/globals';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseConfig } from '../../src/config/load.ts';

const root = path.resolve(import.meta.dirname, '../..');
const pages = ['README.md', ...globSync('docs/**/*.md', { cwd: root })];

/** Configurations in the pages: YAML whose first key is a section of ours. */
const examples = pages.flatMap((page) =>
  [...readFileSync(path.join(root, page), 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)]
    .map(([, text]) => text!)
    .filter((text) =>
      /^(scheduler|auth|cors|fairness|models|discovery|limits|log|sessions|pluginConfig|plugins):/m.test(
        text,
      ),
    )
    .map((text) => [page, text] as const),
);

describe('the configurations that are documented', () => {
  it('are there', () => {
    expect(new Set(examples.map(([page]) => page))).toEqual(
      new Set([
        'README.md',
        'docs/authentication.md',
        'docs/configuration.md',
        'docs/fairness.md',
        'docs/plugins.md',
      ]),
    );
  });

  it.each(examples)('can be used: %s, example %#', (page, text) => {
    expect(parseConfig(text, page).warnings).toEqual([]);
  });

  it('include the one that the demo plays with', () => {
    const text = readFileSync(path.join(root, 'examples/sluice.yaml'), 'utf8');
    expect(parseConfig(text, 'examples/sluice.yaml').notes).toEqual([]);
  });
});
