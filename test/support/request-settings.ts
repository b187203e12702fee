/** Settings of a Sluice that lets everybody in, for tests to change what they are about. */
import { anonymous } from '../../src/auth/principal.ts';
import { corsSection } from '../../src/config/sections/cors.ts';
import { createPathMatcher } from '../../src/request/api-paths.ts';
import { createCrossOrigin } from '../../src/request/cross-origin.ts';
import { sessionFields } from '../../src/request/parse-body.ts';
import { noRenames } from '../../src/request/rename-model.ts';
import type { RequestSettings } from '../../src/request/request-settings.ts';

export function someSettings(known: Partial<RequestSettings> = {}): RequestSettings {
  return {
    matchPath: createPathMatcher(['/metrics']),
    authenticate: () => ({ kind: 'accepted', principal: anonymous }),
    mayCall: () => true,
    privateHeaders: [],
    crossOrigin: createCrossOrigin(corsSection.parse({})),
    maxBodyBytes: 1000,
    maxBodyDepth: 10,
    maxAttempts: 3,
    usageMode: 'none',
    sampleRate: 0,
    models: noRenames,
    shareOf: () => 1,
    maxQueueMs: 60_000,
    boostHeader: undefined,
    addedUsage: 'none',
    sessionHeaders: [],
    sessionFields: sessionFields(['user', 'session_id', 'prompt_cache_key', 'metadata.user_id']),
    ...known,
  };
}
