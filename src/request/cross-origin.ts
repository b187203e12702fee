/** What browsers are told: preflights are answered here, and every response gets what lets a page read it. */
import { createCors, engineCorsHeaders, type CorsOptions } from '../auth/cors.ts';
import type { HeaderChanges, LocalReply, RequestHead } from './exchange.ts';

export interface CrossOrigin {
  /** The reply to a preflight, which carries no token; undefined where the request is none. */
  preflight(head: RequestHead): LocalReply | undefined;
  /** A reply of ours with what a page needs to read it. */
  readable(reply: LocalReply, head: RequestHead): LocalReply;
  /** The same for an engine's response; undefined where it is left as it is. */
  responseHeaders(head: RequestHead): HeaderChanges | undefined;
}

/** Without origins, preflights are answered in the negative and responses are left alone. */
export function createCrossOrigin(options: CorsOptions): CrossOrigin {
  const cors = createCors(options);
  const isUsed = options.origins.length > 0;
  return {
    preflight({ method, headers }) {
      const answer = cors.preflight(method, headers);
      return answer && { ...answer, body: '', details: 'sluice_preflight' };
    },
    readable(reply, { headers }) {
      if (!isUsed) return reply;
      return { ...reply, headers: { ...reply.headers, ...cors.responseHeaders(headers) } };
    },
    responseHeaders({ headers }) {
      if (!isUsed) return undefined;
      const { vary, ...set } = cors.responseHeaders(headers);
      return { remove: engineCorsHeaders, set, append: vary === undefined ? {} : { vary } };
    },
  };
}
