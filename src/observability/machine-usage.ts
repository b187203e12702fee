/** How busy the machine is: processors, memory and disk, in percent, as vllm-router tells it. */
import { readFile, statfs } from 'node:fs/promises';
import { freemem, totalmem } from 'node:os';

/** What is asked of the system. Nothing of it waits on the event loop. */
export interface Machine {
  /** `/proc/stat`, or whatever else begins with the line `cpu` of it. May reject. */
  cpuTimes(): Promise<string>;
  memory(): { readonly totalBytes: number; readonly availableBytes: number };
  /** Blocks of the root file system. May reject. */
  disk(): Promise<{ readonly blocks: number; readonly bfree: number; readonly bavail: number }>;
}

/** The real one. */
export const thisMachine: Machine = {
  cpuTimes: () => readFile('/proc/stat', 'latin1'),
  memory: () => ({ totalBytes: totalmem(), availableBytes: freemem() }),
  disk: () => statfs('/'),
};

/** Each 0 to 100; undefined where the system does not tell. */
export interface MachineUsage {
  /** Since the call before; undefined at the first. */
  cpuPercent(): Promise<number | undefined>;
  memoryPercent(): number;
  /** Of what is there for users. */
  diskPercent(): Promise<number | undefined>;
}

interface CpuTicks {
  readonly total: number;
  readonly idle: number;
}

/** Ticks last 10 ms: two pages right after one another would be told apart by chance. */
const fewestTicks = 50;

/** Creates the readings. Never rejects. */
export function createMachineUsage(machine: Machine): MachineUsage {
  let before: CpuTicks | undefined;
  let percent: number | undefined;
  return {
    async cpuPercent() {
      const now = cpuTicks(await machine.cpuTimes().catch(() => ''));
      if (now === undefined) return undefined;
      const total = before === undefined ? 0 : now.total - before.total;
      if (before !== undefined && total >= fewestTicks)
        percent = rounded(1 - (now.idle - before.idle) / total);
      if (before === undefined || total >= fewestTicks) before = now;
      return percent;
    },
    memoryPercent() {
      const { totalBytes, availableBytes } = machine.memory();
      return rounded(1 - availableBytes / totalBytes);
    },
    async diskPercent() {
      const disk = await machine.disk().catch(() => undefined);
      if (disk === undefined) return undefined;
      const used = disk.blocks - disk.bfree;
      const usable = used + disk.bavail;
      return usable === 0 ? undefined : rounded(used / usable);
    },
  };
}

/** Of all processors since the machine started; guests' time is in their hosts' already. */
function cpuTicks(stat: string): CpuTicks | undefined {
  const fields = /^cpu +([\d ]+)$/m.exec(stat)?.[1]?.split(' ').slice(0, 8).map(Number);
  if (fields === undefined) return undefined;
  const [, , , idle = 0, waiting = 0] = fields;
  return { total: fields.reduce((sum, ticks) => sum + ticks, 0), idle: idle + waiting };
}

/** A share as percent, with one decimal. */
function rounded(share: number): number {
  return Math.round(Math.min(1, Math.max(0, share)) * 1000) / 10;
}
