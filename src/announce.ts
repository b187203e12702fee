/** What the log says to operators of a Sluice that starts, changes, or loses something. */
import type { JwksEvent } from './auth/jwks.ts';
import { faultText } from './config/config-error.ts';
import type { ReloadResult } from './config/live-config.ts';
import type { LoadedConfig } from './config/load.ts';
import type { SourceStatus } from './discovery/kubernetes.ts';
import type { NameStatus } from './discovery/static.ts';
import type { Endpoint } from './endpoints/endpoint.ts';
import type { Logger } from './observability/log.ts';
import type { RedisChange } from './redis/connection.ts';

/** What there is to know of the configuration that Sluice starts with. */
export function announceConfiguration(log: Logger, loaded: LoadedConfig): void {
  announceFindings(log, loaded);
  const issuers = loaded.config.auth.providers.map(({ issuer }) => issuer);
  log.info(
    issuers.length === 0
      ? 'No authentication is configured: every request is accepted'
      : `Requests need a token of ${issuers.join(' or ')}`,
  );
}

function announceFindings(log: Logger, { warnings, notes }: Pick<LoadedConfig, 'warnings' | 'notes'>): void {
  for (const fault of warnings) log.warn({ fault }, `Let pass: ${faultText(fault)}`);
  for (const note of notes) log.warn({ note }, note);
}

/** What came of a new configuration. */
export function announceReload(log: Logger, result: ReloadResult): void {
  if (result.kind === 'refused') {
    log.error(
      { faults: result.faults },
      `The new configuration is refused, the old one stays: ${result.faults.join('; ')}`,
    );
    return;
  }
  const { waiting } = result;
  const { file, warnings, notes } = result.loaded;
  log.info({ file, waiting }, `The new configuration is in effect${afterRestart(waiting)}`);
  announceFindings(log, { warnings, notes });
}

/** What happened to the keys of an issuer. */
export function announceKeys(log: Logger, event: JwksEvent, issuer: string): void {
  switch (event.kind) {
    case 'fetched':
      if (event.changed)
        log.info({ issuer, keys: event.keys }, `The keys of ${issuer} are new: ${event.keys}`);
      break;
    case 'failed':
      log.warn({ issuer, problem: event.error }, `Cannot fetch the keys of ${issuer}: ${event.error}`);
      break;
    case 'dropped':
      log.error({ issuer }, `The keys of ${issuer} are too old to be trusted: its tokens are refused`);
      break;
    default:
      event satisfies never;
  }
}

/** A host name of the list is resolved, or cannot be. */
export function announceName(log: Logger, { name, problem, addresses }: NameStatus): void {
  if (problem === undefined) log.info({ name, addresses }, `${name} resolves to ${addresses.join(', ')}`);
  else log.warn({ name, problem }, `Cannot resolve "${name}": ${problem}`);
}

/** What the API server of Kubernetes says of a source of engines, or does not. */
export function announceSource(log: Logger, { source, endpoints, problem, leftOut }: SourceStatus): void {
  if (problem !== undefined) log.warn({ source, problem, endpoints }, problem);
  else if (leftOut !== undefined) log.warn({ source, leftOut, endpoints }, `${source}: ${leftOut}`);
  else log.info({ source, endpoints }, `Following ${source}: ${endpoints} endpoints`);
}

/** The Redis that replicas share came or went. */
export function announceStore(log: Logger, address: string, change: RedisChange): void {
  if (change.kind === 'up') {
    log.info({ redis: address }, `Limits and ledger are shared through ${address}`);
  } else {
    log.warn(
      { redis: address, problem: change.why },
      `Cannot reach Redis at ${address}: ${change.why}. Limits and ledger go on without other replicas`,
    );
  }
}

function afterRestart(waiting: readonly string[]): string {
  if (waiting.length === 0) return '';
  return `, except for ${waiting.join(', ')}: ${waiting.length === 1 ? 'it needs' : 'they need'} a restart`;
}

/** A model that an endpoint answers for no more, or again; of a whole endpoint its membership tells. */
export function announceInferenceCheck(
  log: Logger,
  { id, health }: Endpoint,
  model: string,
  problem: string | undefined,
): void {
  if (problem === undefined) log.info({ endpoint: id, model }, `Endpoint ${id} serves ${model} again`);
  else if (health.kind === 'healthy')
    log.warn({ endpoint: id, model, problem }, `Endpoint ${id} does not serve ${model}: ${problem}`);
}

/** Endpoints that came, went, or failed. */
export function announceMembership(
  log: Logger,
  count: number,
  {
    added,
    removed,
    lost,
  }: { added: readonly { id: string }[]; removed: readonly { id: string }[]; lost: readonly Endpoint[] },
): void {
  for (const { id } of added) log.info({ endpoint: id }, `Endpoint ${id} added, ${count} in all`);
  for (const { id } of removed) log.info({ endpoint: id }, `Endpoint ${id} removed, ${count} left`);
  for (const { id, health } of lost) {
    if (health.kind === 'unhealthy')
      log.warn({ endpoint: id, reason: health.reason }, `Endpoint ${id} is unhealthy: ${health.reason}`);
  }
}
