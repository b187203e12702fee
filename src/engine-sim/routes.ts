/** Every path of a simulated engine, except `/sim` and `/metrics`. */
import { chatCompletions } from './chat-completions.ts';
import { completions } from './completions.ts';
import { embeddings, pooling } from './embeddings.ts';
import type { Handler } from './exchange.ts';
import { readJson, sendJson, sendText } from './exchange.ts';
import { countMessageTokens, messages } from './messages.ts';
import { rerank, score } from './rerank.ts';
import { responses } from './responses.ts';
import { loadAdapterSchema, unloadAdapterSchema } from './served-models.ts';
import { detokenize, tokenize } from './tokenize.ts';
import { transcriptions } from './transcriptions.ts';

export interface Route {
  readonly methods: readonly string[];
  readonly handle: Handler;
  /** Which error body its clients expect. */
  readonly dialect: 'openai' | 'anthropic';
  /** Whether it needs the engine: the faults of the engine strike these. */
  readonly inference: boolean;
}

/** A local version (PEP 440) of the vLLM release whose replies are imitated. */
const version = '0.11.0+sluice.sim';

const empty: Handler = (_sim, { res }) => void res.writeHead(200, { 'content-length': 0 }).end();

/** Routes by path. */
export const routes: ReadonlyMap<string, Route> = new Map([
  ['/v1/chat/completions', inference(chatCompletions)],
  ['/v1/completions', inference(completions)],
  ['/v1/responses', inference(responses)],
  ['/v1/embeddings', inference(embeddings)],
  ['/pooling', inference(pooling)],
  ['/v1/messages', inference(messages, 'anthropic')],
  ['/v1/messages/count_tokens', inference(countMessageTokens, 'anthropic')],
  ['/rerank', inference(rerank)],
  ['/v1/rerank', inference(rerank)],
  ['/v2/rerank', inference(rerank)],
  ['/score', inference(score)],
  ['/v1/score', inference(score)],
  ['/v1/audio/transcriptions', inference(transcriptions)],
  ['/tokenize', inference(tokenize)],
  ['/detokenize', inference(detokenize)],
  ['/v1/models', get((sim, { res }) => sendJson(res, 200, sim.models.list()))],
  [
    '/v1/load_lora_adapter',
    post((sim, { body, res }) => sendText(res, 200, sim.models.load(readJson(body, loadAdapterSchema)))),
  ],
  [
    '/v1/unload_lora_adapter',
    post((sim, { body, res }) => sendText(res, 200, sim.models.unload(readJson(body, unloadAdapterSchema)))),
  ],
  ['/health', get(empty)],
  ['/ping', { methods: ['GET', 'POST'], handle: empty, dialect: 'openai', inference: false }],
  ['/version', get((_sim, { res }) => sendJson(res, 200, { version }))],
]);

function inference(handle: Handler, dialect: Route['dialect'] = 'openai'): Route {
  return { methods: ['POST'], handle, dialect, inference: true };
}

function get(handle: Handler): Route {
  return { methods: ['GET'], handle, dialect: 'openai', inference: false };
}

function post(handle: Handler): Route {
  return { methods: ['POST'], handle, dialect: 'openai', inference: false };
}
