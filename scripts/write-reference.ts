/** Writes docs/configuration.md: run it after a change of the schema, a plugin or src/config/reference.ts. */
import { writeFileSync } from 'node:fs';
import { configReference } from '../src/config/reference.ts';

writeFileSync(new URL('../docs/configuration.md', import.meta.url), configReference());
