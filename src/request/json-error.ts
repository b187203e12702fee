/** How a body that is not the JSON we need is refused. */
import { Rejection } from './rejection.ts';

/** The position is told, the content never: it may be a secret, and it ends up in logs. */
export function malformedJson(what: string, position: number): Rejection {
  return new Rejection(
    'invalid-request',
    `Cannot parse the request body as JSON: ${what} at byte ${position}`,
  );
}
