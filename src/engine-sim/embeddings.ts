/** `POST /v1/embeddings` and `/pooling`: prompts are computed, and answered with vectors that mean nothing. */
import { z } from 'zod';
import { hashTokens } from './block-hash.ts';
import type { Exchange, Handler, Sim } from './exchange.ts';
import { createdSeconds, readJson, replyId, sendJson } from './exchange.ts';
import { planPooling } from './generation.ts';
import { promptInputSchema, promptTokens } from './prompt-input.ts';
import { seededRandom } from './random.ts';
import { runPooling } from './run-generation.ts';
import { openAiUsage } from './token-usage.ts';

const bodySchema = z.looseObject({
  model: z.string().nullish(),
  input: promptInputSchema,
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).max(16_384).nullish(),
});

/** Answers one embedding for each input. */
export const embeddings: Handler = (sim, exchange) =>
  answerVectors(sim, exchange, 'embd', 'embedding', 'embedding');

/** Answers the pooled output for each input. */
export const pooling: Handler = (sim, exchange) => answerVectors(sim, exchange, 'pool', 'pooling', 'data');

function answerVectors(sim: Sim, exchange: Exchange, idPrefix: string, object: string, field: string): void {
  const body = readJson(exchange.body, bodySchema);
  const model = sim.models.resolve(body.model);
  const prompts = promptTokens(body.input);
  const size = body.dimensions ?? sim.profile.embeddingSize;
  runPooling(sim, exchange, planPooling(prompts, model.adapter, sim.profile, sim.nextId), (usage) => {
    const data = prompts.map((prompt, index) => {
      const vector = unitVector(hashTokens(prompt, sim.seed), size);
      return { index, object, [field]: body.encoding_format === 'base64' ? toBase64(vector) : vector };
    });
    const id = replyId(idPrefix, exchange);
    sendJson(exchange.res, 200, {
      id,
      object: 'list',
      created: createdSeconds(sim),
      model: model.name,
      data,
      usage: openAiUsage(usage),
    });
  });
}

function unitVector(seed: number, size: number): number[] {
  const random = seededRandom(seed);
  const vector = Array.from({ length: size }, () => random() * 2 - 1);
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

function toBase64(vector: readonly number[]): string {
  const bytes = Buffer.alloc(vector.length * 4);
  vector.forEach((value, index) => bytes.writeFloatLE(value, index * 4));
  return bytes.toString('base64');
}
