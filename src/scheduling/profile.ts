/** Filters in order, weighted scorers, one picker: from a request and its candidates to a decision. */
import { isDeepStrictEqual } from 'node:util';
import type { Endpoint } from '../endpoints/endpoint.ts';
import type { Decision, NoneEligible } from './decision.ts';
import { DecisionTrace } from './decision-trace.ts';
import type { ProfileNames } from './decision-trace.ts';
import type {
  FilterDefinition,
  InferenceRequest,
  LearningHooks,
  PluginMemory,
  Outcome,
  PluginDeps,
} from './plugin.ts';
import type { Filter, Picker, Scorer } from './plugin.ts';
import { createRegistry } from './registry.ts';
import type { Registry } from './registry.ts';

/** One plugin of a profile. */
export interface PluginConfig {
  readonly type: string;
  /** As the plugin's `params` accepts them; absent ones get their defaults. */
  readonly params: Readonly<Record<string, unknown>>;
}

/** What a profile consists of: plain data, as the configuration yields it. */
export interface ProfileConfig {
  readonly filters: readonly PluginConfig[];
  readonly scorers: readonly (PluginConfig & { readonly weight: number })[];
  readonly picker: PluginConfig;
}

/** A plugin at work. */
export interface PluginInUse<Instance> {
  readonly type: string;
  /** As the plugin's definition parsed them. */
  readonly params: unknown;
  readonly instance: Instance;
}

/** A profile at work, with all that its plugins learned. */
export interface Profile {
  readonly names: ProfileNames;
  /** For the profile that replaces this one. */
  readonly plugins: {
    readonly filters: readonly PluginInUse<Filter>[];
    readonly scorers: readonly PluginInUse<Scorer>[];
    readonly pickers: readonly PluginInUse<Picker>[];
  };
  /** How many bytes of prompt text its scorers read at most. */
  readonly promptHeadBytes: number;
  /**
   * Ranks at most `maxEndpoints` of the candidates. Learns nothing yet: the caller reports with the hooks below. The
   * whole account goes to `trace`, whose buffers must not be in use.
   */
  run(
    request: InferenceRequest,
    candidates: readonly Endpoint[],
    maxEndpoints: number,
    trace?: DecisionTrace,
  ): Decision | NoneEligible;
  /** See LearningHooks. */
  onRouted(request: InferenceRequest, endpoint: Endpoint): void;
  /** See LearningHooks. */
  onSettled(request: InferenceRequest, routedTo: Endpoint, outcome: Outcome): void;
  /** See LearningHooks. */
  onEndpointLost(endpoint: Endpoint): void;
  /** The memory of every plugin that has one, by its name. */
  memory(): Readonly<Record<string, PluginMemory>>;
}

interface FilterStep {
  readonly filter: Filter;
  readonly name: string;
  readonly whenEmpty: FilterDefinition['whenEmpty'];
}

interface ScorerStep {
  readonly scorer: Scorer;
  readonly name: string;
  readonly weight: number;
}

/**
 * Builds a profile. Throws where a plugin is unknown or its parameters are not valid, which the configuration checks.
 *
 * Of a profile that it replaces, it uses the plugins whose parameters are equal as they are, and hands the others to their
 * successors, which may take over what they know at once. So replace a profile when nothing can be refused any more.
 */
export function createProfile(
  config: ProfileConfig,
  deps: PluginDeps,
  previous?: Profile,
  registry: Registry = createRegistry(),
): Profile {
  // Everything is found and parsed before the first plugin is made: a mistake must not cost the old profile anything.
  const filterPlans = config.filters.map(({ type, params }) => {
    const definition = registry.find('filter', type) ?? unknownPlugin('filter', type);
    return { definition, params: definition.params.parse(params) };
  });
  const scorerPlans = config.scorers.map(({ type, params, weight }) => {
    const definition = registry.find('scorer', type) ?? unknownPlugin('scorer', type);
    return { definition, params: definition.params.parse(params), weight };
  });
  const pickerDefinition =
    registry.find('picker', config.picker.type) ?? unknownPlugin('picker', config.picker.type);
  const pickerPlan = {
    definition: pickerDefinition,
    params: pickerDefinition.params.parse(config.picker.params),
  };

  const plugins: Profile['plugins'] = {
    filters: putToWork(filterPlans, deps, previous?.plugins.filters),
    scorers: putToWork(scorerPlans, deps, previous?.plugins.scorers),
    pickers: putToWork([pickerPlan], deps, previous?.plugins.pickers),
  };
  const filters = plugins.filters.map(({ type, instance }, i): FilterStep => {
    return { filter: instance, name: type, whenEmpty: filterPlans[i]!.definition.whenEmpty };
  });
  const scorers = plugins.scorers.map(({ type, instance }, i): ScorerStep => {
    return { scorer: instance, name: type, weight: scorerPlans[i]!.weight };
  });
  const picker = plugins.pickers[0]!.instance;

  const names: ProfileNames = {
    filters: filters.map(({ name }) => name),
    scorers: scorers.map(({ name, weight }) => ({ name, weight })),
  };
  const hooks: LearningHooks[] = [
    ...filters.map(({ filter }) => filter),
    ...scorers.map(({ scorer }) => scorer),
    picker,
  ];
  const routed = hooks.filter((plugin) => plugin.onRouted !== undefined);
  const settled = hooks.filter((plugin) => plugin.onSettled !== undefined);
  const losing = hooks.filter((plugin) => plugin.onEndpointLost !== undefined);

  const ownTrace = new DecisionTrace();
  let scores = new Float64Array(64);
  const survivors: Endpoint[] = [];

  return {
    names,
    plugins,
    promptHeadBytes: scorers.reduce((bytes, { scorer }) => Math.max(bytes, scorer.promptHeadBytes ?? 0), 0),
    run(request, candidates, maxEndpoints, trace = ownTrace) {
      trace.begin(names, candidates);
      let kept = candidates;
      for (let i = 0; i < filters.length; i++) {
        const { filter, name, whenEmpty } = filters[i]!;
        kept = applyFilter(filter, i + 1, request, kept, survivors, trace);
        if (kept.length === 0)
          return { kind: 'none', filter: name, whenEmpty, candidates: candidates.length };
      }
      if (kept.length === 0) return nobody;

      if (scores.length < kept.length) scores = new Float64Array(kept.length * 2);
      for (let i = 0; i < scorers.length; i++) applyScorer(scorers[i]!, i, request, kept, scores, trace);

      const ranked = picker.rank(kept, trace.totals, maxEndpoints);
      if (!hasFirst(ranked))
        throw new Error(`Cannot pick an endpoint: picker "${config.picker.type}" ranked nobody`);
      const totals: number[] = [];
      for (const endpoint of ranked) totals.push(trace.totals[kept.indexOf(endpoint)]!);
      return {
        kind: 'chosen',
        requestId: request.id,
        model: request.model,
        ranked,
        totals,
        candidates: candidates.length,
        kept: kept.length,
      };
    },
    onRouted(request, endpoint) {
      for (const plugin of routed) plugin.onRouted?.(request, endpoint);
    },
    onSettled(request, routedTo, outcome) {
      for (const plugin of settled) plugin.onSettled?.(request, routedTo, outcome);
    },
    onEndpointLost(endpoint) {
      for (const plugin of losing) plugin.onEndpointLost?.(endpoint);
    },
    memory() {
      return Object.fromEntries(
        scorers.flatMap(({ name, scorer }) => (scorer.memory === undefined ? [] : [[name, scorer.memory()]])),
      );
    },
  };
}

/** The answer where there is no candidate at all, whatever the filters would have said. */
const nobody: NoneEligible = { kind: 'none', filter: undefined, whenEmpty: 'ineligible', candidates: 0 };

function unknownPlugin(kind: string, type: string): never {
  throw new Error(`Cannot create the profile: there is no ${kind} "${type}"`);
}

/** What the plugins of one kind need to be made. */
interface PluginPlan<Instance> {
  readonly definition: {
    readonly type: string;
    create(params: unknown, deps: PluginDeps, previous?: Instance): Instance;
  };
  readonly params: unknown;
}

/** Makes plugins of one kind, or takes those of the profile before that would be the same. */
function putToWork<Instance>(
  plans: readonly PluginPlan<Instance>[],
  deps: PluginDeps,
  predecessors: readonly PluginInUse<Instance>[] = [],
): PluginInUse<Instance>[] {
  // Nobody has two successors: they would learn into the same memory.
  const left = [...predecessors];
  return plans.map(({ definition, params }) => {
    const { type } = definition;
    const at = left.findIndex((plugin) => plugin.type === type);
    const [predecessor] = at === -1 ? [] : left.splice(at, 1);
    if (predecessor !== undefined && isDeepStrictEqual(predecessor.params, params)) return predecessor;
    return { type, params, instance: definition.create(params, deps, predecessor?.instance) };
  });
}

/** Returns who is left: `from` itself while nobody was removed, otherwise `survivors`, rewritten in place. */
function applyFilter(
  filter: Filter,
  number: number,
  request: InferenceRequest,
  from: readonly Endpoint[],
  survivors: Endpoint[],
  trace: DecisionTrace,
): readonly Endpoint[] {
  const { length } = from;
  let kept = 0;
  // Where among all candidates: those that an earlier filter removed are stepped over.
  let position = 0;
  for (let i = 0; i < length; i++, position++) {
    while (trace.removedBy[position] !== 0) position++;
    const endpoint = from[i]!;
    if (filter.keep(request, endpoint)) {
      if (kept !== i || from === survivors) survivors[kept] = endpoint;
      kept++;
      continue;
    }
    if (kept === i && from !== survivors) for (let j = 0; j < i; j++) survivors[j] = from[j]!;
    trace.removedBy[position] = number;
  }
  if (kept === length) return from;
  survivors.length = kept;
  return survivors;
}

/** Lets a scorer write, clamps what it wrote (not a number counts as 0) and adds it to the totals. */
function applyScorer(
  { scorer, weight }: ScorerStep,
  index: number,
  request: InferenceRequest,
  kept: readonly Endpoint[],
  scores: Float64Array,
  trace: DecisionTrace,
): void {
  const { length } = kept;
  scores.fill(0, 0, length);
  scorer.score(request, kept, scores);
  const offset = index * length;
  for (let i = 0; i < length; i++) {
    const raw = scores[i]!;
    const score = raw > 1 ? 1 : raw > 0 ? raw : 0;
    trace.scores[offset + i] = score;
    trace.totals[i]! += weight * score;
  }
}

function hasFirst(ranked: Endpoint[]): ranked is [Endpoint, ...Endpoint[]] {
  return ranked.length > 0;
}
