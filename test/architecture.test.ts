/** Imports run one way. The table is the one of docs/architecture.md. */
import { describe, expect, it } from '@jest/globals';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

const src = path.resolve(import.meta.dirname, '../src');

/** Room → rooms it may import from, besides itself. A file at the top of src is a room of its own. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  'main.ts': ['cli', 'version.ts'],
  'vllm-router.ts': ['cli', 'version.ts'],
  cli: ['app.ts', 'router.ts', 'config', 'discovery', 'envoy', 'engine-sim', 'kube', 'observability', 'lib'],
  'app.ts': [
    'accounting.ts',
    'announce.ts',
    'discover.ts',
    'part-options.ts',
    'admin',
    'auth',
    'config',
    'discovery',
    'endpoints',
    'envoy',
    'extproc',
    'observability',
    'request',
    'scheduling',
    'lib',
    'version.ts',
  ],
  'accounting.ts': ['part-options.ts', 'config', 'endpoints', 'fairness', 'observability', 'redis', 'lib'],
  'announce.ts': ['auth', 'config', 'discovery', 'endpoints', 'observability', 'redis'],
  'discover.ts': ['part-options.ts', 'config', 'discovery', 'endpoints', 'kube', 'lib'],
  'part-options.ts': ['auth', 'config', 'discovery', 'endpoints', 'fairness', 'request'],
  'router.ts': ['app.ts', 'config', 'envoy', 'observability', 'lib'],
  'version.ts': ['lib'],
  admin: ['endpoints', 'lib'],
  config: ['auth', 'scheduling', 'lib'],
  discovery: ['endpoints', 'lib'],
  envoy: ['endpoints', 'lib'],
  observability: ['auth', 'request', 'endpoints', 'lib'],
  kube: ['lib'],
  redis: ['fairness', 'lib'],
  extproc: ['request', 'endpoints', 'lib'],
  request: ['auth', 'fairness', 'scheduling', 'endpoints', 'lib'],
  auth: ['lib'],
  fairness: ['endpoints', 'lib'],
  scheduling: ['endpoints', 'lib'],
  endpoints: ['lib'],
  'engine-sim': ['lib'],
  lib: [],
};

interface Import {
  readonly file: string;
  readonly specifier: string;
}

const files = globSync('**/*.ts', { cwd: src });

function imports(file: string): Import[] {
  const text = readFileSync(path.join(src, file), 'utf8');
  return [...text.matchAll(/(?:^|\n)(?:import|export)\b[^'";]*?from '([^']+)'|\bimport\('([^']+)'\)/g)].map(
    (match) => ({
      file,
      specifier: match[1] ?? match[2]!,
    }),
  );
}

function room(file: string): string {
  return file.split(path.sep)[0]!;
}

describe('imports', () => {
  it('are found at all', () => {
    expect(files.flatMap(imports).length).toBeGreaterThan(100);
  });

  it('run one way', () => {
    const wrong = files.flatMap(imports).flatMap(({ file, specifier }) => {
      if (!specifier.startsWith('.')) return [];
      const from = room(file);
      const to = room(path.relative(src, path.resolve(src, path.dirname(file), specifier)));
      return from === to || mayImport[from]?.includes(to) === true ? [] : [`${file} imports ${specifier}`];
    });
    expect(wrong).toEqual([]);
  });

  it('of a plugin are the contract, endpoint types, lib and zod', () => {
    const wrong = files
      .filter((file) => file.startsWith('scheduling/plugins/') && !file.endsWith('index.ts'))
      .flatMap(imports)
      .filter(({ specifier }) => !/^(\.\.\/plugin\.ts|\.\.\/\.\.\/(endpoints|lib)\/.+|zod)$/.test(specifier))
      .map(({ file, specifier }) => `${file} imports ${specifier}`);
    expect(wrong).toEqual([]);
  });
});
