/** The version of this package. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { packageRoot } from './lib/package-root.ts';

/** As package.json says it. */
export async function packageVersion(): Promise<string> {
  const text = await readFile(path.join(packageRoot(), 'package.json'), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}
