/** Endpoints that were sent the beginning of this prompt before: their engine has it in its KV cache. */
import { z } from 'zod';
import type { Endpoint } from '../../endpoints/endpoint.ts';
import { PrefixIndex } from '../../endpoints/prefix-index.ts';
import { BlockHasher } from '../../lib/block-hash.ts';
import type {
  InferenceRequest,
  Outcome,
  PluginDeps,
  PluginMemory,
  Scorer,
  ScorerDefinition,
} from '../plugin.ts';

interface PrefixCacheParams {
  readonly blockSizeToHash: number;
  readonly maxBlocksToMatch: number;
  readonly maxHashCacheSize: number;
  readonly topKMatches: number;
  readonly minMatchBytes: number;
  readonly maxTotalEntries: number;
}

/**
 * score = blocks of the prompt that the endpoint was sent / blocks of the prompt, for the `topKMatches` best holders and
 * everybody who holds as much as the last of them, unless that is less than `minMatchBytes`; 0 for the others. Affinity is
 * learned when a request is routed, so a burst of one new prompt stays together.
 */
export const prefixCacheScorer: ScorerDefinition<PrefixCacheParams> = {
  kind: 'scorer',
  type: 'prefix-cache',
  description: 'Prefers endpoints that were recently sent a prompt with the same beginning.',
  params: z
    .strictObject({
      blockSizeToHash: z.int().min(1).max(65_536).default(64).describe('Bytes of prompt text in a block.'),
      maxBlocksToMatch: z
        .int()
        .min(1)
        .max(4096)
        .default(128)
        .describe('Blocks of a prompt that are looked at; the rest of the text is ignored.'),
      maxHashCacheSize: z
        .int()
        .min(1)
        .max(10_000_000)
        .default(50_000)
        .describe('Blocks remembered per endpoint.'),
      topKMatches: z
        .int()
        .min(1)
        .default(5)
        .describe('How many holders get a score; those that hold as much as the last of them do too.'),
      minMatchBytes: z
        .int()
        .min(0)
        .default(0)
        .describe('Bytes of the prompt that a holder must have been sent to get a score.'),
      maxTotalEntries: z
        .int()
        .min(1)
        .max(10_000_000)
        .default(2_000_000)
        .describe(
          'Blocks remembered over all endpoints, each costing some 72 bytes; when full, all get equal shares.',
        ),
    })
    .refine(
      ({ minMatchBytes, blockSizeToHash, maxBlocksToMatch }) =>
        minMatchBytes <= blockSizeToHash * maxBlocksToMatch,
      {
        error:
          'minMatchBytes must not be more than blockSizeToHash * maxBlocksToMatch: nobody would ever get a score',
      },
    ),
  create: (params, deps, previous) =>
    new PrefixCache(params, deps, previous instanceof PrefixCache ? previous : undefined),
};

class PrefixCache implements Scorer {
  readonly promptHeadBytes: number;
  readonly #blockBytes: number;
  /** What the index holds was hashed with it. */
  readonly #seed: number;
  readonly #index: PrefixIndex;
  readonly #hasher: BlockHasher;
  readonly #topK: number;
  readonly #minBlocks: number;
  /** By indexes before this one. */
  readonly #evictedBefore: number;
  /** Whose chain the hasher holds, so that learning in the tick of the decision does not hash again. */
  #hashed: InferenceRequest | undefined;
  /** Lost endpoints: their slot may be somebody else's when an exchange with them ends. */
  readonly #lost: WeakSet<Endpoint>;

  constructor(params: PrefixCacheParams, { random }: PluginDeps, previous: PrefixCache | undefined) {
    const { blockSizeToHash, maxBlocksToMatch } = params;
    const bounds = { maxEntries: params.maxTotalEntries, maxEntriesPerEndpoint: params.maxHashCacheSize };
    this.promptHeadBytes = blockSizeToHash * maxBlocksToMatch;
    this.#blockBytes = blockSizeToHash;
    this.#topK = params.topKMatches;
    this.#minBlocks = Math.ceil(params.minMatchBytes / blockSizeToHash);
    this.#lost = previous === undefined ? new WeakSet() : previous.#lost;
    if (previous !== undefined && previous.#blockBytes === blockSizeToHash) {
      this.#seed = previous.#seed;
      this.#index = previous.#index;
      this.#index.resize(bounds);
      this.#evictedBefore = previous.#evictedBefore;
    } else {
      // Blocks of another size have other hashes: nothing of what was learned would be found.
      this.#seed = random() * 2 ** 32;
      this.#index = new PrefixIndex(bounds);
      this.#evictedBefore = previous?.memory().evictions ?? 0;
    }
    this.#hasher = new BlockHasher(blockSizeToHash, maxBlocksToMatch, this.#seed);
  }

  score(request: InferenceRequest, candidates: readonly Endpoint[], scores: Float64Array): void {
    this.#hash(request);
    if (this.#index.match(this.#hasher, candidates, this.#topK, scores) === 0) return;
    const blocks = this.#hasher.count;
    const least = this.#minBlocks;
    for (let i = 0; i < candidates.length; i++) scores[i] = scores[i]! < least ? 0 : scores[i]! / blocks;
  }

  onRouted(request: InferenceRequest, endpoint: Endpoint): void {
    this.#lost.delete(endpoint);
    this.#learn(request, endpoint);
    // The request is not kept alive for longer than its decision.
    this.#hashed = undefined;
  }

  onSettled(request: InferenceRequest, routedTo: Endpoint, { servedBy }: Outcome): void {
    if (servedBy === undefined || servedBy === routedTo || this.#lost.has(servedBy)) return;
    this.#learn(request, servedBy);
    this.#hashed = undefined;
  }

  onEndpointLost(endpoint: Endpoint): void {
    this.#lost.add(endpoint);
    this.#index.forget(endpoint.slot);
  }

  memory(): PluginMemory {
    return { entries: this.#index.size, evictions: this.#evictedBefore + this.#index.evictions };
  }

  #learn(request: InferenceRequest, endpoint: Endpoint): void {
    this.#hash(request);
    if (this.#hasher.count > 0) this.#index.insert(endpoint.slot, this.#hasher);
  }

  #hash(request: InferenceRequest): void {
    if (this.#hashed === request) return;
    this.#hasher.hash(request.model, request.promptHead);
    this.#hashed = request;
  }
}
