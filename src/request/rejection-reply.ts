/** The one place where a refusal becomes a reply: OpenAI's error object, or Anthropic's on its own path. */
import type { LocalReply } from './exchange.ts';
import type { Api } from './parsed-request.ts';
import { Rejection } from './rejection.ts';

/** Renders a refusal in the dialect of the API that was called. */
export function rejectionReply(rejection: Rejection, api: Api | undefined): LocalReply {
  const headers: Record<string, string> = { 'content-type': 'application/json', ...rejection.headers };
  if (rejection.retryAfterSeconds !== undefined) {
    headers['retry-after'] = String(rejection.retryAfterSeconds);
    // openai-npm ignores waits above 60 s and retries at once; openai-python gives up above 120 s.
    if (rejection.retryAfterSeconds > 60) headers['x-should-retry'] = 'false';
  }
  const { message, type, code } = rejection;
  const error = { message, type, param: rejection.param ?? null, code };
  return {
    status: rejection.status,
    headers,
    body: JSON.stringify(
      api === 'messages' ? { type: 'error', error: { ...error, type: anthropicType(rejection) } } : { error },
    ),
    details: `sluice_${code}`,
  };
}

/** What a failure of ours looks like to the client: nothing internal. */
export function internalRejection(cause: unknown): Rejection {
  return new Rejection('internal', 'The server had an error while processing your request.', { cause });
}

function anthropicType(rejection: Rejection): string {
  switch (rejection.status) {
    case 401:
      return 'authentication_error';
    case 403:
      return 'permission_error';
    case 404:
      return 'not_found_error';
    case 413:
      return 'request_too_large';
    case 429:
      return 'rate_limit_error';
    case 500:
      return 'api_error';
    case 503:
    case 504:
      return 'overloaded_error';
    default:
      return 'invalid_request_error';
  }
}
