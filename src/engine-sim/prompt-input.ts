/** The forms in which completions and embeddings take their input. */
import { z } from 'zod';
import { encode } from './tokenizer.ts';

const tokens = z.array(z.int().nonnegative());

/** A text, several texts, one list of token ids, or several. */
export const promptInputSchema = z.union([
  z.string(),
  z.array(z.string()).min(1),
  tokens.min(1),
  z.array(tokens).min(1),
]);

/** One list of tokens for each prompt. */
export function promptTokens(input: z.infer<typeof promptInputSchema>): number[][] {
  if (typeof input === 'string') return [encode(input)];
  const prompts: number[][] = [];
  const flat: number[] = [];
  for (const item of input) {
    if (typeof item === 'number') flat.push(item);
    else prompts.push(typeof item === 'string' ? encode(item) : item);
  }
  return flat.length > 0 ? [flat] : prompts;
}
