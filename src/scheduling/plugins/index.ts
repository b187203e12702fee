/** Every plugin there is: add a line here to add one. */
import type { PluginDefinition } from '../plugin.ts';
import { kvCacheScorer } from './kv-cache.ts';
import { leastLatencyScorer } from './least-latency.ts';
import { leastRequestFilter, leastRequestScorer } from './least-request.ts';
import { loraAffinityFilter } from './lora-affinity.ts';
import { maxScorePicker } from './max-score.ts';
import { prefixCacheScorer } from './prefix-cache.ts';
import { randomScorer } from './random.ts';
import { roundRobinScorer } from './round-robin.ts';
import { sessionAffinityScorer } from './session-affinity.ts';

/** The definitions in the order of the docs. */
export const pluginDefinitions: readonly PluginDefinition[] = [
  leastRequestFilter,
  loraAffinityFilter,
  leastRequestScorer,
  kvCacheScorer,
  leastLatencyScorer,
  prefixCacheScorer,
  sessionAffinityScorer,
  roundRobinScorer,
  randomScorer,
  maxScorePicker,
];
