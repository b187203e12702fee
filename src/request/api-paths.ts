/** Which paths are served, and as what. Any other is refused: engines have operator paths that no client should reach. */
import { canonicalPath } from '../lib/canonical-path.ts';
import type { Api } from './parsed-request.ts';

/** What a path is. The query plays no part in it. */
export type PathMatch =
  /** An inference API: the body names a model, and an engine answers. */
  | {
      readonly kind: 'inference';
      readonly api: Api;
      readonly path: string;
      readonly methods: readonly ['POST'];
    }
  /** Answered by us. */
  | { readonly kind: 'local'; readonly name: 'health' | 'models' | 'version' | 'engines' | 'metrics' }
  /** One model's card, answered by us; the id is decoded. */
  | { readonly kind: 'local'; readonly name: 'model'; readonly modelId: string }
  /** Let through by the operator's `routes.allow`, with any method. */
  | { readonly kind: 'allowed'; readonly path: string }
  /** Spelled so that an engine could take it for another path than we do: refused. */
  | { readonly kind: 'not-canonical'; readonly canonical: string }
  | { readonly kind: 'unknown' };

const apiByPath: Readonly<Record<string, Api>> = {
  '/v1/chat/completions': 'chat',
  '/v1/completions': 'completions',
  '/v1/embeddings': 'embeddings',
  '/v1/responses': 'responses',
  '/v1/messages': 'messages',
  '/v1/messages/count_tokens': 'by-model',
  '/rerank': 'by-model',
  '/v1/rerank': 'by-model',
  '/v2/rerank': 'by-model',
  '/score': 'by-model',
  '/v1/score': 'by-model',
  '/v2/embed': 'by-model',
  '/pooling': 'by-model',
  '/classify': 'by-model',
  '/v1/classify': 'by-model',
  '/tokenize': 'by-model',
  '/v1/tokenize': 'by-model',
  '/detokenize': 'by-model',
  '/v1/detokenize': 'by-model',
  '/v1/audio/transcriptions': 'by-model',
  '/v1/audio/translations': 'by-model',
  '/v1/audio/speech': 'by-model',
};

const known: ReadonlyMap<string, PathMatch> = new Map<string, PathMatch>([
  ...Object.entries(apiByPath).map(([path, api]): [string, PathMatch] => [
    path,
    { kind: 'inference', api, path, methods: ['POST'] },
  ]),
  ['/health', { kind: 'local', name: 'health' }],
  ['/v1/models', { kind: 'local', name: 'models' }],
  ['/version', { kind: 'local', name: 'version' }],
  ['/engines', { kind: 'local', name: 'engines' }],
]);

const unknown: PathMatch = { kind: 'unknown' };
const metricsPage: PathMatch = { kind: 'local', name: 'metrics' };
const modelPrefix = '/v1/models/';

/**
 * Makes the matcher for a set of allowed routes.
 * @param allow exact paths, or prefixes ending in `/*`, which also allow the path before the slash; in canonical spelling.
 * @param answersMetrics whether `/metrics` is ours to answer.
 */
export function createPathMatcher(
  allow: readonly string[] = [],
  answersMetrics = false,
): (path: string) => PathMatch {
  const exact = new Set(allow.filter((route) => !route.endsWith('/*')));
  const prefixes = allow.filter((route) => route.endsWith('/*')).map((route) => route.slice(0, -1));

  return function matchPath(path) {
    const direct = known.get(path);
    if (direct !== undefined) return direct;
    const query = path.indexOf('?');
    const bare = query < 0 ? path : path.slice(0, query);
    const match = known.get(bare);
    if (match !== undefined) return match;
    if (bare.startsWith(modelPrefix) && bare.length > modelPrefix.length) {
      const card = modelCard(bare.slice(modelPrefix.length));
      if (card !== undefined) return card;
    }
    const canonical = canonicalPath(bare);
    if (canonical === undefined) return unknown;
    if (canonical !== bare) return { kind: 'not-canonical', canonical };
    if (answersMetrics && bare === '/metrics') return metricsPage;
    if (
      exact.has(bare) ||
      prefixes.some((prefix) => bare.startsWith(prefix) || bare === prefix.slice(0, -1))
    ) {
      return { kind: 'allowed', path: bare };
    }
    return unknown;
  };
}

/** Ids have slashes, which clients escape or not (`meta-llama/Llama-3`); both are fine here, for no engine sees this path. */
function modelCard(escapedId: string): PathMatch | undefined {
  let modelId: string;
  try {
    modelId = decodeURIComponent(escapedId);
  } catch {
    return undefined;
  }
  const hasOddSegments = modelId
    .split(/[/\\]/)
    .some((segment) => segment === '' || segment === '.' || segment === '..');
  return hasOddSegments ? undefined : { kind: 'local', name: 'model', modelId };
}
