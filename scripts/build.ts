/** Compiles src/ to dist/ and makes the entry points executable, with the garbage collector's settings in the first line. */
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

rmSync('dist', { recursive: true, force: true });
execFileSync('node_modules/.bin/tsc', ['-p', 'tsconfig.build.json'], { stdio: 'inherit' });
for (const entry of ['dist/main.js', 'dist/vllm-router.js']) {
  const [, ...lines] = readFileSync(entry, 'utf8').split('\n');
  writeFileSync(entry, ['#!/usr/bin/env -S node --max-semi-space-size=1', ...lines].join('\n'));
  chmodSync(entry, 0o755);
}
