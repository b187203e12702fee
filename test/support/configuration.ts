/** Configurations for tests: on any admin port, in front of the test's own engines. */
import { parseConfig, type LoadedConfig } from '../../src/config/load.ts';
import type { Written } from '../../src/config/written.ts';

/** What the command line of a test says. */
export function testFlags(engines: readonly string[]): Written {
  return {
    admin: { host: '127.0.0.1', port: 0 },
    ...(engines.length === 0 ? {} : { discovery: { static: { backends: engines.map((url) => ({ url })) } } }),
  };
}

/** A configuration for engines at these URLs. */
export function testConfig(engines: readonly string[], yaml = ''): LoadedConfig {
  return parseConfig(yaml, 'test.yaml', { flags: testFlags(engines) });
}
