/** `vllm-router`: Sluice for the command lines of production-stack's router, with an Envoy of its own. */
import { Command } from 'commander';
import { startRouter } from '../router.ts';
import { runApp } from './run-app.ts';
import { readVllmRouterOptions } from './vllm-router-config.ts';
import { addVllmRouterOptions, type VllmRouterFlags } from './vllm-router-options.ts';

/** The command; its action ends when a signal has stopped everything. */
export function vllmRouterCommand(): Command {
  return addVllmRouterOptions(
    new Command('vllm-router').description(
      'Route clients to vLLM engines, as the router of production-stack',
    ),
  ).action(async (flags: VllmRouterFlags) => {
    const options = readVllmRouterOptions(flags, process.env);
    await runApp(() => startRouter(options));
  });
}
