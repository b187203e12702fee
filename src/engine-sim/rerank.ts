/** `POST /rerank`, `/v1/rerank`, `/score` and `/v1/score`: pairs of texts are computed, and scored without meaning. */
import { z } from 'zod';
import { hashTokens } from './block-hash.ts';
import type { Exchange, Handler, Sim } from './exchange.ts';
import { createdSeconds, readJson, replyId, sendJson } from './exchange.ts';
import { planPooling } from './generation.ts';
import { seededRandom } from './random.ts';
import { runPooling } from './run-generation.ts';
import type { ResolvedModel } from './served-models.ts';
import type { TokenUsage } from './token-usage.ts';
import { openAiUsage } from './token-usage.ts';
import { encode } from './tokenizer.ts';

const texts = z.union([z.string().transform((text) => [text]), z.array(z.string()).min(1)]);
const rerankSchema = z.looseObject({
  model: z.string().nullish(),
  query: z.string(),
  documents: z.array(z.string()).min(1),
  top_n: z.int().min(0).nullish(),
});
const scoreSchema = z.looseObject({ model: z.string().nullish(), text_1: texts, text_2: texts });

/** Answers the documents in order of relevance, the best `top_n` of them. */
export const rerank: Handler = (sim, exchange) => {
  const body = readJson(exchange.body, rerankSchema);
  const model = sim.models.resolve(body.model);
  const pairs = body.documents.map((document) => pairTokens(body.query, document));
  scorePairs(sim, exchange, pairs, model, (scores, usage) => {
    const results = body.documents
      .map((text, index) => ({ index, document: { text }, relevance_score: scores[index] ?? 0 }))
      .sort((a, b) => b.relevance_score - a.relevance_score || a.index - b.index);
    const kept =
      body.top_n === undefined || body.top_n === null || body.top_n === 0
        ? results
        : results.slice(0, body.top_n);
    const id = replyId('rerank', exchange);
    sendJson(exchange.res, 200, { id, model: model.name, usage: openAiUsage(usage), results: kept });
  });
};

/** Answers the score of each pair of `text_1` and `text_2`; a single first text goes with every second one. */
export const score: Handler = (sim, exchange) => {
  const body = readJson(exchange.body, scoreSchema);
  const model = sim.models.resolve(body.model);
  const pairs = body.text_2.map((second, index) =>
    pairTokens(body.text_1[index] ?? body.text_1[0] ?? '', second),
  );
  scorePairs(sim, exchange, pairs, model, (scores, usage) => {
    const data = scores.map((value, index) => ({ index, object: 'score', score: value }));
    const id = replyId('score', exchange);
    sendJson(exchange.res, 200, {
      id,
      object: 'list',
      created: createdSeconds(sim),
      model: model.name,
      data,
      usage: openAiUsage(usage),
    });
  });
};

function scorePairs(
  sim: Sim,
  exchange: Exchange,
  pairs: readonly number[][],
  model: ResolvedModel,
  answer: (scores: number[], usage: TokenUsage) => void,
): void {
  const scores = pairs.map((tokens) => seededRandom(hashTokens(tokens, sim.seed))());
  runPooling(sim, exchange, planPooling(pairs, model.adapter, sim.profile, sim.nextId), (usage) =>
    answer(scores, usage),
  );
}

function pairTokens(query: string, document: string): number[] {
  return [...encode(`${query}\n`), ...encode(document)];
}
