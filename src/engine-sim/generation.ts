/** From prompts and sampling limits to engine requests and the text they will generate. */
import { contextOverflow, invalidBody } from './api-error.ts';
import { hashTokenBlocks, hashTokens } from './block-hash.ts';
import type { EngineRequest } from './engine.ts';
import { outputText } from './output-text.ts';
import type { EngineProfile } from './profile.ts';
import { logNormal, seededRandom } from './random.ts';
import { bytesPerToken, encode } from './tokenizer.ts';

/** The part of a request that decides how long its answer is. */
export interface Limits {
  /** Undefined where the client set none. */
  readonly maxTokens: number | undefined;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  /** Answers for each prompt. */
  readonly n: number;
  /** The request's own `seed`. */
  readonly seed: number;
}

/** One answer that is being generated. */
export interface Choice {
  /** Its place in the reply. */
  readonly index: number;
  /** Which prompt it answers. */
  readonly prompt: number;
  readonly request: EngineRequest;
  /** The whole text; token `i` begins at character `4 * i`. */
  readonly text: string;
}

export interface GenerationJob {
  readonly prompts: readonly (readonly number[])[];
  readonly limits: Limits;
  readonly adapter: string | undefined;
}

/** Plans every answer of a job; throws an ApiError where a prompt does not fit the context. */
export function planChoices(
  job: GenerationJob,
  profile: EngineProfile,
  seed: number,
  nextId: () => string,
): Choice[] {
  const { prompts, limits, adapter } = job;
  const choices: Choice[] = [];
  prompts.forEach((prompt, promptIndex) => {
    if (prompt.length === 0) throw invalidBody('The prompt is empty: it has no tokens.');
    const roomTokens = profile.maxModelLen - prompt.length;
    if (roomTokens < (limits.maxTokens ?? 1))
      throw contextOverflow(profile.maxModelLen, prompt.length, limits.maxTokens ?? 0);
    const promptHash = hashTokens(prompt, seed);
    for (let copy = 0; copy < limits.n; copy++) {
      const choiceSeed = hashTokens([promptHash, limits.seed, copy], seed);
      const { tokens, finishReason } = planLength(limits, roomTokens, profile, choiceSeed);
      const text = outputText(choiceSeed, tokens);
      const blockHashes = hashTokenBlocks([...prompt, ...encode(text)], profile.blockSize, adapter);
      choices.push({
        index: choices.length,
        prompt: promptIndex,
        request: {
          id: nextId(),
          promptTokens: prompt.length,
          outputTokens: tokens,
          finishReason,
          blockHashes,
          adapter,
        },
        text,
      });
    }
  });
  return choices;
}

/** The text of one token of an answer, counted from 1. */
export function pieceOf(choice: Choice, generated: number): string {
  return choice.text.slice((generated - 1) * bytesPerToken, generated * bytesPerToken);
}

/** Requests that only want their prompts computed: embeddings, scores, transcriptions. */
export function planPooling(
  prompts: readonly (readonly number[])[],
  adapter: string | undefined,
  profile: EngineProfile,
  nextId: () => string,
): EngineRequest[] {
  return prompts.map((prompt) => {
    if (prompt.length === 0) throw invalidBody('The input is empty: it has no tokens.');
    if (prompt.length > profile.maxModelLen) throw contextOverflow(profile.maxModelLen, prompt.length, 0);
    const blockHashes = hashTokenBlocks(prompt, profile.blockSize, adapter);
    return {
      id: nextId(),
      promptTokens: prompt.length,
      outputTokens: 0,
      finishReason: 'stop',
      blockHashes,
      adapter,
    };
  });
}

/** The model would stop after a length drawn from the profile's distribution; the limits cut or stretch that. */
function planLength(
  limits: Limits,
  roomTokens: number,
  profile: EngineProfile,
  seed: number,
): { tokens: number; finishReason: 'stop' | 'length' } {
  const drawn = Math.round(
    logNormal(seededRandom(seed), profile.outputTokensMedian, profile.outputTokensSigma),
  );
  const natural = limits.ignoreEos ? Infinity : Math.max(1, limits.minTokens, drawn);
  const most = Math.min(limits.maxTokens ?? Infinity, roomTokens);
  return natural > most
    ? { tokens: most, finishReason: 'length' }
    : { tokens: natural, finishReason: 'stop' };
}
