/**
 * What replicas of Sluice tell each other in Redis of tokens used. For each length of the window, as slots of another
 * length cannot be compared, there are
 *
 *     sluice:ledger:<window ms>:replicas         sorted set: replica → version of what it told last
 *     sluice:ledger:<window ms>:<replica>        sorted set: slot → version at which it changed last
 *     sluice:ledger:<window ms>:<replica>:<slot> hash: [principal, model] → counts, gone when the slot leaves the window
 *
 * A replica writes its own keys only, and always all that a slot has: what arrives twice, late or again after an outage
 * changes nothing. Versions are the writer's own and grow, so a reader fetches what changed since it last looked.
 */
import type { Redis } from 'ioredis';
import { slotsPerWindow } from '../fairness/slot-clock.ts';
import type { ReplicatedUsage } from '../fairness/untold-usage.ts';

/** Whose keys, and for which length of the window. */
export interface UsageKeys {
  readonly windowSizeMs: number;
  readonly replica: string;
}

export interface ReplicaVersion {
  readonly replica: string;
  readonly version: number;
}

export interface SlotVersion {
  readonly slot: number;
  readonly version: number;
}

/** More than there can be in use, as clocks differ. */
const keptSlots = 4 * slotsPerWindow;
const keptReplicas = 256;
const fieldsPerScan = 250;
const fieldsPerWrite = 500;

/** Writes the use of slots, whole. `version` must be higher than that of every write before. */
export async function writeUsage(
  redis: Redis,
  keys: UsageKeys,
  version: number,
  epochMs: number,
  changes: readonly ReplicatedUsage[],
): Promise<void> {
  if (changes.length === 0) return;
  const { windowSizeMs, replica } = keys;
  const written: Promise<unknown>[] = [];
  const bySlot = Map.groupBy(changes, ({ slot }) => slot);
  for (const [slot, usages] of bySlot) {
    const key = slotKey(keys, slot);
    for (let from = 0; from < usages.length; from += fieldsPerWrite) {
      const fields = usages.slice(from, from + fieldsPerWrite).flatMap(formatUsage);
      written.push(redis.hset(key, ...fields));
    }
    written.push(redis.pexpire(key, leavesInMs(slot, windowSizeMs, epochMs)));
  }

  // In this order: who sees the version finds the slots, and who sees a slot's version finds what it has.
  const own = replicaKey(keys);
  written.push(redis.zadd(own, ...[...bySlot.keys()].flatMap((slot) => [version, slot])));
  written.push(redis.zremrangebyrank(own, 0, -1 - keptSlots));
  written.push(redis.pexpire(own, 2 * windowSizeMs));
  const all = replicasKey(windowSizeMs);
  written.push(redis.zadd(all, version, replica));
  written.push(redis.zremrangebyrank(all, 0, -1 - keptReplicas));
  written.push(redis.pexpire(all, 2 * windowSizeMs));
  await Promise.all(written);
}

/** The version that this replica wrote last, as far as Redis knows, and the `max` others that wrote last. */
export async function readReplicas(
  redis: Redis,
  { windowSizeMs, replica: own }: UsageKeys,
  max: number,
): Promise<{ readonly ownVersion: number | undefined; readonly others: readonly ReplicaVersion[] }> {
  const key = replicasKey(windowSizeMs);
  const [ownScore, listed] = await Promise.all([
    redis.zscore(key, own),
    redis.zrevrange(key, 0, max, 'WITHSCORES'),
  ]);
  const others = pairsOf(listed)
    .map(([replica, score]): ReplicaVersion => ({ replica, version: Number(score) }))
    .filter(({ replica }) => replica !== own)
    .slice(0, max);
  return { ownVersion: ownScore === null ? undefined : Number(ownScore), others };
}

/** All slots that a replica changed after a version, in the order of their versions. */
export async function readChangedSlots(
  redis: Redis,
  keys: UsageKeys,
  afterVersion: number,
): Promise<readonly SlotVersion[]> {
  const listed = await redis.zrangebyscore(
    replicaKey(keys),
    `(${afterVersion}`,
    '+inf',
    'WITHSCORES',
    'LIMIT',
    0,
    keptSlots,
  );
  return pairsOf(listed).map(([slot, score]) => ({ slot: Number(slot), version: Number(score) }));
}

/** A part of what a replica used in a slot, and where the next part begins: `0` at the end, as at the start. */
export async function readUsage(
  redis: Redis,
  keys: UsageKeys,
  slot: number,
  cursor: string,
): Promise<{ readonly cursor: string; readonly usages: readonly ReplicatedUsage[] }> {
  const [next, fields] = await redis.hscan(slotKey(keys, slot), cursor, 'COUNT', fieldsPerScan);
  const usages = pairsOf(fields).map(([field, value]) => parseUsage(slot, field, value));
  return { cursor: next, usages: usages.filter((usage) => usage !== undefined) };
}

function replicasKey(windowSizeMs: number): string {
  return `sluice:ledger:${windowSizeMs}:replicas`;
}

function replicaKey({ windowSizeMs, replica }: UsageKeys): string {
  return `sluice:ledger:${windowSizeMs}:${replica}`;
}

function slotKey(keys: UsageKeys, slot: number): string {
  return `${replicaKey(keys)}:${slot}`;
}

/** Until the slot has left the window everywhere, give or take the difference of two clocks. */
function leavesInMs(slot: number, windowSizeMs: number, epochMs: number): number {
  const slotMs = windowSizeMs / slotsPerWindow;
  return Math.max(1, Math.ceil((slot + slotsPerWindow + 2) * slotMs - epochMs));
}

function formatUsage(usage: ReplicatedUsage): [field: string, value: string] {
  const { principal, model, inputTokens, cachedInputTokens, outputTokens, requests, estimatedTokens } = usage;
  return [
    // JSON keeps the two apart whatever is in them.
    JSON.stringify([principal, model]),
    `${inputTokens} ${cachedInputTokens} ${outputTokens} ${requests} ${estimatedTokens}`,
  ];
}

/** Undefined for what no Sluice of this version wrote. */
function parseUsage(slot: number, field: string, value: string): ReplicatedUsage | undefined {
  const names = parseNames(field);
  const counts = value.split(' ').map(Number);
  if (names === undefined || counts.length !== 5 || !counts.every(isCount)) return undefined;
  const [inputTokens = 0, cachedInputTokens = 0, outputTokens = 0, requests = 0, estimatedTokens = 0] =
    counts;
  return { ...names, slot, inputTokens, cachedInputTokens, outputTokens, requests, estimatedTokens };
}

function parseNames(field: string): { principal: string; model: string } | undefined {
  let names: unknown;
  try {
    names = JSON.parse(field);
  } catch {
    return undefined;
  }
  if (!Array.isArray(names)) return undefined;
  const [principal, model] = names as readonly unknown[];
  return typeof principal === 'string' && typeof model === 'string' ? { principal, model } : undefined;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function pairsOf(flat: readonly string[]): [string, string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? '', flat[2 * i + 1] ?? '']);
}
