/** `sluice simulate`: engines that behave like vLLM, without a GPU. */
import { readFile } from 'node:fs/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { MetricsGeneration } from '../engine-sim/engine-metrics-page.ts';
import type { EngineProfile } from '../engine-sim/profile.ts';
import { defaultProfile, parseProfile } from '../engine-sim/profile.ts';
import type { SimulatedEngine } from '../engine-sim/server.ts';
import { startSimulatedEngine } from '../engine-sim/server.ts';

interface SimulateOptions {
  readonly engines: number;
  readonly basePort: number;
  readonly host: string;
  readonly model: string;
  readonly profile?: string;
  readonly speed: number;
  readonly seed: number;
  readonly lora: readonly string[];
  readonly metrics: MetricsGeneration;
}

/** The command; its action ends when SIGINT or SIGTERM has stopped every engine. */
export function simulateCommand(): Command {
  return new Command('simulate')
    .description('Start engines that behave like vLLM, without a GPU')
    .option('--engines <count>', 'how many engines', integer(1, 256), 1)
    .option(
      '--base-port <port>',
      'port of the first engine; the others follow it; 0 takes any free ones',
      integer(0, 65_535),
      9001,
    )
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .requiredOption('--model <name>', 'name of the served model')
    .option('--profile <file>', 'JSON file with the constants of the engine (docs/simulator.md)')
    .option('--speed <factor>', 'virtual milliseconds in one real millisecond', positive, 1)
    .option('--seed <number>', 'decides lengths and texts of answers', integer(0, 2 ** 31 - 1), 0)
    .option('--lora <names>', 'LoRA adapters loaded from the start, separated by commas', names, [])
    .addOption(
      new Option('--metrics <generation>', 'names of the metrics').choices(['v0', 'v1']).default('v1'),
    )
    .action(async (options: SimulateOptions, command: Command) => {
      const stopped = waitForSignal();
      const engines = await startEngines(options).catch((error: unknown) =>
        command.error(`error: ${error instanceof Error ? error.message : String(error)}`, { exitCode: 1 }),
      );
      engines.forEach((engine, index) => process.stdout.write(`engine ${index + 1}: ${engine.url}\n`));
      await stopped;
      await Promise.all(engines.map((engine) => engine.stop()));
    });
}

/** Starts all or none. */
async function startEngines(options: SimulateOptions): Promise<SimulatedEngine[]> {
  const { host, model, speed, seed, basePort } = options;
  const profile = await loadProfile(options.profile);
  const engines: SimulatedEngine[] = [];
  try {
    for (let index = 0; index < options.engines; index++) {
      const port = basePort === 0 ? 0 : basePort + index;
      const common = { host, port, model, profile, speed, seed };
      engines.push(
        await startSimulatedEngine({ ...common, adapters: options.lora, metricsGeneration: options.metrics }),
      );
    }
  } catch (error) {
    await Promise.all(engines.map((engine) => engine.stop()));
    throw error;
  }
  return engines;
}

async function loadProfile(file: string | undefined): Promise<EngineProfile> {
  if (file === undefined) return defaultProfile;
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(
      `Cannot read profile "${file}": ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
  return parseProfile(text, file);
}

function waitForSignal(): Promise<void> {
  return new Promise((resolve) => {
    const stop = (): void => {
      process.off('SIGINT', stop);
      process.off('SIGTERM', stop);
      resolve();
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
  });
}

function integer(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max) {
      throw new InvalidArgumentError(`it is not a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('it is not a number above 0.');
  return value;
}

function names(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
