/** Every accepted form of a configuration file, the most particular first. */
import { bareScheduler } from './bare-scheduler.ts';
import type { Dialect } from './dialect.ts';
import { sluice } from './sluice.ts';

/** The last one recognises everything. */
export const dialects: readonly Dialect[] = [bareScheduler, sluice];
