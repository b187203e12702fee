/** What a request will probably use, and what one used that no engine counted, learned from those that were counted. */
import { LRUCache } from 'lru-cache';
import type { TokenCount } from './token-count.ts';

export interface TokenEstimatesOptions {
  /** Models of which something is known; the one not heard of longest goes first. Default 1000. */
  readonly maxModels?: number;
  /** Pairs of a principal and a model, likewise. Default 10 000. */
  readonly maxPrincipals?: number;
}

/** What was seen of a request that an engine answered in full. */
export interface SeenRequest {
  readonly promptBytes: number;
  readonly stream: boolean;
  /** Undefined where they were not counted, or say nothing of output tokens. */
  readonly responseBytes: number | undefined;
  readonly usage: TokenCount;
}

export interface TokenEstimates {
  /** Input tokens of a prompt. */
  input(model: string, promptBytes: number): number;
  /** Output tokens that a principal's request will make the model generate, `maxOutputTokens` at most. */
  output(principal: string, model: string, maxOutputTokens: number | undefined): number;
  /** Output tokens of a response, or of the beginning of one. */
  outputOfBytes(model: string, stream: boolean, responseBytes: number): number;
  /** Takes a request into account. */
  learn(principal: string, model: string, seen: SeenRequest): void;
}

interface ModelEstimates {
  readonly bytesPerInputToken: Ratio;
  readonly outputTokens: Mean;
  /** Of plain responses and of event streams. */
  readonly bytesPerOutputToken: { readonly plain: Ratio; readonly stream: Ratio };
}

/** English prose. */
const usualBytesPerInputToken = 4;
const usualOutputTokens = 256;
/** Prose in a JSON string, and a little more than that of the object around it. */
const usualBytesPerPlainOutputToken = 5;
/** vLLM sends an event of about this size for each token. */
const usualBytesPerStreamedOutputToken = 200;
/** Of so many requests lately a mean is made, roughly: older ones fade. */
const remembered = 64;

/** Creates estimates that know nothing yet. All are whole numbers, rounded up. */
export function createTokenEstimates(options: TokenEstimatesOptions = {}): TokenEstimates {
  const { maxModels = 1000, maxPrincipals = 10_000 } = options;
  const models = new LRUCache<string, ModelEstimates>({ max: maxModels });
  const principals = new LRUCache<string, Mean>({ max: maxPrincipals });

  function learnModel(model: string): ModelEstimates {
    let known = models.get(model);
    if (known === undefined) {
      known = {
        bytesPerInputToken: new Ratio(),
        outputTokens: new Mean(),
        bytesPerOutputToken: { plain: new Ratio(), stream: new Ratio() },
      };
      models.set(model, known);
    }
    return known;
  }

  return {
    input(model, promptBytes) {
      const bytesPerToken = models.get(model)?.bytesPerInputToken.value ?? usualBytesPerInputToken;
      return roundedUp(promptBytes / bytesPerToken);
    },

    output(principal, model, maxOutputTokens = Infinity) {
      const mean = principals.get(keyOf(principal, model)) ?? models.get(model)?.outputTokens;
      return Math.min(roundedUp(mean?.value ?? usualOutputTokens), maxOutputTokens);
    },

    outputOfBytes(model, stream, responseBytes) {
      const learned = models.get(model)?.bytesPerOutputToken[stream ? 'stream' : 'plain'].value;
      const usual = stream ? usualBytesPerStreamedOutputToken : usualBytesPerPlainOutputToken;
      return roundedUp(responseBytes / (learned ?? usual));
    },

    learn(principal, model, { promptBytes, stream, responseBytes, usage }) {
      const { inputTokens, outputTokens } = usage;
      const known = learnModel(model);
      known.bytesPerInputToken.add(promptBytes, inputTokens);
      known.outputTokens.add(outputTokens);
      if (responseBytes !== undefined)
        known.bytesPerOutputToken[stream ? 'stream' : 'plain'].add(responseBytes, outputTokens);

      const key = keyOf(principal, model);
      let mean = principals.get(key);
      if (mean === undefined) principals.set(key, (mean = new Mean()));
      mean.add(outputTokens);
    },
  };
}

/** Different for any two pairs. */
function keyOf(principal: string, model: string): string {
  return `${model.length}:${model}${principal}`;
}

/** The mean of what was seen lately. */
class Mean {
  #count = 0;
  #value: number | undefined;

  /** Undefined until something was seen. */
  get value(): number | undefined {
    return this.#value;
  }

  add(value: number): void {
    if (this.#count < remembered) this.#count++;
    const before = this.#value ?? 0;
    this.#value = before + (value - before) / this.#count;
  }
}

/** How much of one comes with how much of the other: a ratio of sums, so that large requests count for more. */
class Ratio {
  #dividend = 0;
  #divisor = 0;

  /** Undefined until both were seen; more than 0. */
  get value(): number | undefined {
    return this.#divisor === 0 ? undefined : this.#dividend / this.#divisor;
  }

  /** Where one is missing nothing can be told of the ratio: a prompt of token ids has no bytes. */
  add(dividend: number, divisor: number): void {
    if (dividend <= 0 || divisor <= 0) return;
    const kept = 1 - 1 / remembered;
    this.#dividend = this.#dividend * kept + dividend;
    this.#divisor = this.#divisor * kept + divisor;
  }
}

/** A mean of whole numbers may be a hair above one. */
function roundedUp(value: number): number {
  return Math.max(0, Math.ceil(value - 1e-9));
}
