#!/usr/bin/env -S node --max-semi-space-size=1
/** The second binary: parses a command line of vllm-router, runs it, and turns an error into an exit code. */
import { vllmRouterCommand } from './cli/vllm-router.ts';
import { packageVersion } from './version.ts';

try {
  await vllmRouterCommand()
    .version(await packageVersion())
    .parseAsync();
} catch (error) {
  process.stderr.write(`vllm-router: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
