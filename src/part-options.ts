/** What each part takes of the configuration. */
import { readFile } from 'node:fs/promises';
import type { Authenticator } from './auth/authenticate.ts';
import { createFairShare } from './auth/fair-share.ts';
import { createModelAccess } from './auth/model-access.ts';
import type { Config } from './config/schema.ts';
import { parseBackends, type StaticBackend } from './discovery/static.ts';
import type { CheckedBackend, InferenceCheckOptions } from './endpoints/inference-check.ts';
import type { ScraperOptions } from './endpoints/scraper.ts';
import type { LedgerOptions } from './fairness/ledger.ts';
import type { QueueSettings } from './fairness/model-queues.ts';
import { createPathMatcher } from './request/api-paths.ts';
import { createCrossOrigin } from './request/cross-origin.ts';
import { sessionFields } from './request/parse-body.ts';
import type { RequestSettings } from './request/request-settings.ts';

/** The engines that the configuration lists. Throws where there is none. */
export function configuredBackends(config: Config): readonly (StaticBackend & CheckedBackend)[] {
  const backends = config.discovery.static.backends.flatMap(({ url, models, type }) =>
    parseBackends(url, undefined).map((backend) => ({ ...backend, models, type })),
  );
  if (backends.length > 0) return backends;
  throw new Error(
    'Cannot serve without engines: name them with --static-backends, or under discovery.static.backends',
  );
}

/** For one state of the configuration; an exchange keeps to one. */
export function requestSettings(config: Config, authenticator: Authenticator): RequestSettings {
  return {
    authenticate: (headers, path, peer) => authenticator.authenticate(headers, path, peer),
    mayCall: createModelAccess(config.auth.models),
    privateHeaders: authenticator.strippedHeaders,
    crossOrigin: createCrossOrigin(config.cors),
    matchPath: createPathMatcher(config.routes.allow, config.routes.metrics),
    maxBodyBytes: config.limits.maxBodyBytes,
    maxBodyDepth: config.limits.maxBodyDepth,
    maxAttempts: maxAttempts(config),
    usageMode: config.usage.source,
    sampleRate: config.usage.sampleRate,
    models: config.models,
    shareOf: createFairShare(config.fairness.weights),
    maxQueueMs: (queueSettings(config)?.queueTimeoutMs ?? 0) + queueGraceMs,
    boostHeader: config.sessionBoost.enabled ? config.sessionBoost.header : undefined,
    addedUsage: addedUsage(config),
    sessionHeaders: config.sessions.headers,
    sessionFields: sessionFields(config.sessions.fields),
  };
}

/** How much longer than a request may wait Envoy is asked to: the 504 is ours. */
const queueGraceMs = 5000;

/** Whose turn it is, where requests have to wait; undefined where they never do. */
export function queueSettings({ fairness, sessionBoost }: Config): QueueSettings {
  if (fairness.enabled)
    return { kind: 'fairness', ...fairness, maxQueuedPerFlow: fairness.maxQueuedPerPrincipal };
  if (!sessionBoost.enabled) return undefined;
  const { maxQueued, maxQueuedBytes, agingAfterMs } = fairness;
  return {
    kind: 'session-boost',
    ...sessionBoost,
    queueTimeoutMs: sessionBoost.timeoutMs,
    maxQueued,
    maxQueuedBytes,
    maxQueuedPerFlow: maxQueued,
    agingAfterMs,
    maxConcurrent: 0,
    maxQps: 0,
  };
}

export function ledgerOptions({ fairness }: Config): LedgerOptions {
  return { ...fairness, maxEntries: fairness.maxPrincipals };
}

/** Streams are asked for their usage where somebody is held to it. */
function addedUsage({ usage, fairness, limits }: Config): RequestSettings['addedUsage'] {
  const counts = usage.ask === 'auto' ? fairness.enabled || limits.rules.length > 0 : usage.ask === 'always';
  if (!counts || usage.source === 'none') return 'none';
  return usage.hideChunk ? 'hidden' : 'shown';
}

/** One destination means one attempt: some gateways take no list. */
function maxAttempts({ scheduler: { maxEndpoints }, envoy: { retries } }: Config): number {
  return maxEndpoints === 1 ? 1 : Math.max(maxEndpoints, retries + 1);
}

function engineHeaders({ scrape: { apiKey } }: Config): { headers?: Readonly<Record<string, string>> } {
  return apiKey === undefined ? {} : { headers: { authorization: `Bearer ${apiKey}` } };
}

/** Undefined: nobody is checked by inference. */
export function inferenceCheckOptions(config: Config, trust: EngineTrust): InferenceCheckOptions | undefined {
  const { healthChecks } = config.discovery.static;
  return (
    healthChecks && {
      ...healthChecks,
      ...engineHeaders(config),
      ...trust,
      backends: configuredBackends(config),
    }
  );
}

/** Whose certificates engines may show. */
export interface EngineTrust {
  readonly ca?: string;
  readonly insecure?: boolean;
}

/** Rejects where the file of authorities cannot be read. */
export async function engineTrust({ envoy: { upstreamTls } }: Config): Promise<EngineTrust> {
  if (upstreamTls.insecureSkipVerify) return { insecure: true };
  return upstreamTls.caFile === undefined ? {} : { ca: await readFile(upstreamTls.caFile, 'utf8') };
}

/** How endpoints are watched. */
export function scraperOptions(config: Config, trust: EngineTrust): ScraperOptions {
  return { ...config.scrape, ...engineHeaders(config), ...trust };
}
