/** Where this package is, whether it runs from source or from the built file. */
import { existsSync } from 'node:fs';
import path from 'node:path';

/** The nearest folder above this file that holds a package.json. */
export function packageRoot(): string {
  for (let folder = import.meta.dirname; ; folder = path.dirname(folder)) {
    if (existsSync(path.join(folder, 'package.json'))) return folder;
    if (folder === path.dirname(folder))
      throw new Error(`Cannot find package.json above "${import.meta.dirname}"`);
  }
}
