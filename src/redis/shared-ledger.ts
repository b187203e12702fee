/** One ledger over all replicas: each tells the others through Redis what was used, and counts what they tell. */
import type { Ledger, ReplicaUsage } from '../fairness/ledger.ts';
import { isInWindow } from '../fairness/slot-counts.ts';
import type { TokenCount } from '../fairness/token-count.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { RedisConnection } from './connection.ts';
import { readChangedSlots, readReplicas, readUsage, writeUsage, type ReplicaVersion } from './usage-store.ts';

export interface SharedLedgerDeps {
  readonly clock: Clock;
  readonly connection: RedisConnection;
  readonly ledger: Ledger;
  /** Uniform in [0, 1): keeps replicas out of step. */
  readonly random: () => number;
  /** Called with what a principal used at another replica, as it becomes known: once for each token. */
  readonly onRemote?: (principal: string, model: string, count: TokenCount) => void;
  /** Called when an exchange with Redis threw, which only a bug can do; it goes on with the next. */
  readonly onBug?: (error: unknown) => void;
}

export interface SharedLedgerOptions {
  /** Of this replica: no other may have it, nor this one after a restart. */
  readonly id: string;
  /** From the end of one exchange to the start of the next, give or take a tenth. Default 500. */
  readonly intervalMs?: number;
  /** Most other replicas that are heard, those that used something last. Default 64. */
  readonly maxReplicas?: number;
  /**
   * Entries read in one exchange, after which no further slot is begun; the rest comes with the next exchanges, newest
   * slots first. Default 5000.
   */
  readonly maxEntriesRead?: number;
  /** Entries written in one exchange, about; the rest comes with the next. Default 2000. */
  readonly maxEntriesWritten?: number;
}

export interface SharedLedger {
  /** Tells everything in the window, and begins to tell and hear. */
  start(): void;
  /** Tells what is left to be told, if Redis is there, and counts nothing of other replicas any more. */
  stop(): Promise<void>;
  /** Other replicas whose use counts. */
  readonly replicas: number;
  /** Slots of other replicas that are known to have changed and were not read yet. */
  readonly unreadSlots: number;
}

interface Replica {
  readonly id: string;
  readonly usage: ReplicaUsage;
  /** What changed up to this version was read, or is among `unread`. */
  seen: number;
  readonly unread: Set<number>;
}

const intervalJitter = 0.1;

/**
 * Shares a ledger through Redis. What a replica used becomes known to the others within about an interval. While Redis is
 * down each goes on with what it knows, and once it is back tells what was not told, or everything, where Redis knows
 * nothing any more. What a replica used counts until it leaves the window, also when that replica is gone: one that
 * restarts learns it from Redis like any other. Reservations are not told: they are over or charged before it would matter.
 */
export function createSharedLedger(deps: SharedLedgerDeps, options: SharedLedgerOptions): SharedLedger {
  const { clock, connection, ledger, random, onRemote = () => undefined, onBug = () => undefined } = deps;
  const { id, intervalMs = 500, maxReplicas = 64, maxEntriesRead = 5000, maxEntriesWritten = 2000 } = options;
  const { replication } = ledger;
  const known = new Map<string, Replica>();
  let { windowSizeMs } = replication;
  let version = 0;
  /** What Redis must have by now, unless the last write did not arrive or Redis lost something. */
  let toldVersion = 0;
  let running = false;
  let timer: Timer | undefined;
  let current: Promise<void> = Promise.resolve();

  function tick(): void {
    current = exchange().catch(onBug).then(scheduleNext);
  }

  function scheduleNext(): void {
    if (running) timer = clock.after(intervalMs * (1 + intervalJitter * (2 * random() - 1)), tick);
  }

  async function exchange(): Promise<void> {
    followWindow();
    const listed = await connection.run((redis) => readReplicas(redis, keysOf(id), maxReplicas));
    if (listed === undefined || !isCurrent()) return;
    // The last write did not arrive, or Redis was started anew, emptied, or replaced by a copy that was behind.
    if ((listed.ownVersion ?? 0) < toldVersion) {
      toldVersion = 0;
      replication.putBack();
    }
    if (!(await tell())) return;
    // Who wrote nothing for longer has nothing left in the window, or a clock that does not fit ours.
    const oldest = clock.epochMs() - 2 * windowSizeMs;
    await listen(
      listed.others.filter((other) => other.version >= oldest),
      oldest,
    );
    await read();
  }

  /** The ledger has put everything into slots of another length, and so do the others: they have other keys. */
  function followWindow(): void {
    if (windowSizeMs === replication.windowSizeMs) return;
    ({ windowSizeMs } = replication);
    toldVersion = 0;
  }

  /** Whether slots that were asked for still mean what they did. */
  function isCurrent(): boolean {
    return running && windowSizeMs === replication.windowSizeMs;
  }

  function keysOf(replica: string) {
    return { windowSizeMs, replica };
  }

  /** Writes what changed. False where Redis did not take it. */
  async function tell(): Promise<boolean> {
    const changes = replication.takeChanges(maxEntriesWritten);
    if (changes.length === 0) return true;
    const epochMs = clock.epochMs();
    version = toldVersion = Math.max(epochMs, version + 1);
    const told = await connection.run(async (redis) => {
      await writeUsage(redis, keysOf(id), toldVersion, epochMs, changes);
      return true;
    });
    return told === true && isCurrent();
  }

  /** Finds out which slots of the others changed. */
  async function listen(others: readonly ReplicaVersion[], oldest: number): Promise<void> {
    dropReplicas(new Set(others.map(({ replica }) => replica)), oldest);
    for (const { replica: name, version } of others) {
      const replica = meet(name);
      if (version <= replica.seen) continue;
      const slots = await connection.run((redis) => readChangedSlots(redis, keysOf(name), replica.seen));
      if (slots === undefined || !isCurrent()) return;
      for (const { slot } of slots) replica.unread.add(slot);
      replica.seen = slots.at(-1)?.version ?? version;
    }
  }

  function meet(name: string): Replica {
    let replica = known.get(name);
    if (replica === undefined) {
      replica = { id: name, usage: replication.addReplica(), seen: 0, unread: new Set() };
      known.set(name, replica);
    }
    return replica;
  }

  /** Makes room for those listed. Redis may have forgotten one that is still there and counts. */
  function dropReplicas(listed: ReadonlySet<string>, oldest: number): void {
    let tooMany = known.size + [...listed].filter((name) => !known.has(name)).length - maxReplicas;
    for (const [name, { usage, seen }] of known) {
      if (listed.has(name) || (seen >= oldest && tooMany <= 0)) continue;
      usage.drop();
      known.delete(name);
      tooMany--;
    }
  }

  /** Reads slots that changed, until there were enough. */
  async function read(): Promise<void> {
    const unread = [...known.values()]
      .flatMap((replica) => [...replica.unread].map((slot) => ({ replica, slot })))
      .sort((a, b) => b.slot - a.slot);
    let entries = 0;
    for (const { replica, slot } of unread) {
      if (entries >= maxEntriesRead) return;
      const isWanted = isInWindow(slot, ledger.slotAt(clock.nowMs()));
      const read = isWanted ? await readSlot(replica, slot) : 0;
      if (read === undefined) return;
      entries += read;
      replica.unread.delete(slot);
    }
  }

  /** How many entries were read; undefined where it could not be read to the end. */
  async function readSlot(replica: Replica, slot: number): Promise<number | undefined> {
    let cursor = '0';
    let entries = 0;
    do {
      const part = await connection.run((redis) => readUsage(redis, keysOf(replica.id), slot, cursor));
      if (part === undefined || !isCurrent()) return undefined;
      for (const usage of part.usages) {
        const increase = replica.usage.replace(usage);
        if (increase !== undefined) onRemote(usage.principal, usage.model, increase);
      }
      entries += part.usages.length;
      ({ cursor } = part);
    } while (cursor !== '0');
    return entries;
  }

  return {
    start() {
      if (running) return;
      running = true;
      replication.putBack();
      tick();
    },
    async stop() {
      if (!running) return;
      running = false;
      timer?.cancel();
      await current;
      followWindow();
      await tell();
      for (const { usage } of known.values()) usage.drop();
      known.clear();
    },
    get replicas() {
      return known.size;
    },
    get unreadSlots() {
      return [...known.values()].reduce((sum, { unread }) => sum + unread.size, 0);
    },
  };
}
