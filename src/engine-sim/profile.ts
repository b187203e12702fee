/** What a simulated engine is made of: the constants of one model on one GPU. docs/simulator.md says where they come from. */
import { z } from 'zod';

const count = z.int().positive();

/** The JSON form of a profile: every field has a default, unknown fields are refused. */
export const profileSchema = z
  .strictObject({
    /** Tokens per KV block. */
    blockSize: count.default(16),
    /** KV blocks in GPU memory. */
    kvBlocks: count.max(4_000_000).default(27_000),
    /** Most sequences in one step: vLLM's `--max-num-seqs`. */
    maxNumSeqs: count.default(1024),
    /** Most tokens computed in one step: vLLM's `--max-num-batched-tokens`. */
    maxNumBatchedTokens: count.default(8192),
    /** Most tokens of prompt and output together: vLLM's `--max-model-len`. */
    maxModelLen: count.default(131_072),
    /** Most LoRA adapters in one step: vLLM's `--max-loras`. */
    maxLoras: count.default(4),
    /** Shortest step: the time to read the weights once. */
    stepBaseMs: z.number().positive().default(6.4),
    /** Added to a step for each sequence in it. */
    stepPerSequenceMs: z.number().nonnegative().default(0.037),
    /** Added to a step for each token of context that its decoding sequences attend to. */
    stepPerContextTokenUs: z.number().nonnegative().default(0.051),
    /** How fast prompts are computed. */
    prefillTokensPerSecond: z.number().positive().default(30_000),
    /** Median length of an answer whose request sets no limit, in tokens. */
    outputTokensMedian: z.number().positive().default(129),
    /** Spread of that length: sigma of the log-normal distribution; 0 makes every answer the median. */
    outputTokensSigma: z.number().nonnegative().max(5).default(0.86),
    /** Length of the vectors that `/v1/embeddings` answers. */
    embeddingSize: count.max(16_384).default(256),
  })
  .refine((profile) => profile.kvBlocks * profile.blockSize >= profile.maxModelLen, {
    path: ['maxModelLen'],
    error: 'is more than kvBlocks * blockSize tokens: a request of full length would never fit',
  });

export type EngineProfile = Readonly<z.infer<typeof profileSchema>>;

/** Llama 3.1 8B in BF16 on one H100 80 GB with vLLM's defaults. */
export const defaultProfile: EngineProfile = profileSchema.parse({});

/** Reads the text of a profile file; the error names the file and each wrong field. */
export function parseProfile(text: string, source: string): EngineProfile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(
      `Cannot read profile "${source}": it is not JSON: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
  const result = profileSchema.safeParse(json);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) =>
    issue.path.length > 0 ? `${issue.path.join('.')}: ${issue.message}` : issue.message,
  );
  throw new Error(`Cannot use profile "${source}": ${problems.join('; ')}`, { cause: result.error });
}
