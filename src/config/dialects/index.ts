/** Every accepted form of a configuration file, the most particular first. */
import { bareScheduler } from './bare-scheduler.ts';
import { chartValues } from './chart-values.ts';
import type { Dialect } from './dialect.ts';
import { sluice } from './sluice.ts';
import { staticRouteSpec, vllmRouter, vllmRouterByModel } from './vllm-router.ts';

/** The last one recognises everything. */
export const dialects: readonly Dialect[] = [
  ...chartValues,
  vllmRouter,
  vllmRouterByModel,
  staticRouteSpec,
  bareScheduler,
  sluice,
];
