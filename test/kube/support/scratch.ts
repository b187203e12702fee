/** A folder of a test's own, gone after it. */
import { afterEach } from '@jest/globals';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export interface Scratch {
  /** The path of a file that has this text now. */
  write(name: string, text: string): string;
  /** A path in the folder. */
  at(name: string): string;
}

/** For the top of a test file. */
export function scratchFolder(): Scratch {
  let folder: string | undefined;
  afterEach(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    folder = undefined;
  });
  const at = (name: string): string => {
    folder ??= mkdtempSync(path.join(tmpdir(), 'sluice-kube-'));
    return path.join(folder, name);
  };
  return {
    at,
    write(name, text) {
      const file = at(name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
      return file;
    },
  };
}
