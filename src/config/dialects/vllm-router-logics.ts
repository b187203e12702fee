/** The routing logics of vllm-router as profiles. */
import type { Written } from '../written.ts';
import { notOneOf } from './vllm-router-values.ts';

/** Less than one block of any prompt is worth: load decides among those that hold equally much, and nothing else. */
const tieBreak = 0.0001;

const profiles: Readonly<Record<string, Written>> = {
  roundrobin: profileOf({ 'round-robin': 1 }),
  session: profileOf({ 'session-affinity': 1 }),
  prefixaware: profileOf({ 'prefix-cache': 1, 'least-request': tieBreak }),
  // There: matched share - (load - mean) / max(1, mean). Here load is compared with the greatest instead of the mean.
  loadaware: {
    ...profileOf({ 'prefix-cache': 1, 'least-request': 1 }),
    pluginConfig: [{ name: 'least-request', args: { loadScale: 1 } }],
  },
};

/** What to say of logics that no profile stands for. */
const refusals: Readonly<Record<string, string>> = {
  kvaware: '"kvaware" needs an LMCache controller, which Sluice does not ask; "prefixaware" comes nearest',
  disaggregated_prefill: '"disaggregated_prefill" sends a request to two engines, which Sluice does not do',
  disaggregated_prefill_orchestrated:
    '"disaggregated_prefill_orchestrated" sends a request to two engines, which Sluice does not do',
};

/** The `scheduler` section that does what the routing logic does; undefined where `logicFault` says why not. */
export function schedulerFor(logic: unknown): Written | undefined {
  return typeof logic === 'string' && Object.hasOwn(profiles, logic) ? profiles[logic] : undefined;
}

/** Why a routing logic cannot be used. */
export function logicFault(logic: unknown): string | undefined {
  if (schedulerFor(logic) !== undefined) return undefined;
  if (typeof logic === 'string' && Object.hasOwn(refusals, logic)) return refusals[logic];
  return notOneOf(logic, Object.keys(profiles));
}

/** Scorers and their weights. As vllm-router has it, nobody is filtered out for a long queue. */
function profileOf(scorers: Readonly<Record<string, number>>): Written {
  return {
    plugins: {
      Filter: { enabled: [] },
      Score: { enabled: Object.entries(scorers).map(([name, weight]) => ({ name, weight })) },
    },
  };
}
