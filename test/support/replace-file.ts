/** Writes files as careful editors do. */
import { rename, writeFile } from 'node:fs/promises';

/** Gives a file other content in one step: nobody who watches it reads half of it. */
export async function replaceFile(file: string, content: string): Promise<void> {
  await writeFile(`${file}.new`, content);
  await rename(`${file}.new`, file);
}
