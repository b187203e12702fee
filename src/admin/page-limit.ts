/** `?limit=`: how much of a long list a page shows. */
import type { AdminReply } from './http.ts';

const defaultLimit = 20;
const maxLimit = 1000;

/** The page for the limit that was asked for, 20 by default; 400 where it is not 1 to 1000. */
export function withLimit(query: URLSearchParams, page: (limit: number) => AdminReply): AdminReply {
  const limitText = query.get('limit') ?? String(defaultLimit);
  if (!/^[1-9]\d{0,3}$/.test(limitText) || Number(limitText) > maxLimit) {
    return { status: 400, body: { error: `Cannot use limit "${limitText}": it must be 1 to ${maxLimit}` } };
  }
  return page(Number(limitText));
}
