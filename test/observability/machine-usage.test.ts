import { describe, expect, it } from '@jest/globals';
import { createMachineUsage, thisMachine, type Machine } from '../../src/observability/machine-usage.ts';

/** A machine of which a test says only what it is about. */
function aMachine(known: Partial<Machine>): Machine {
  return {
    cpuTimes: () => Promise.reject(new Error('ENOENT')),
    memory: () => ({ totalBytes: 100, availableBytes: 100 }),
    disk: () => Promise.reject(new Error('EIO')),
    ...known,
  };
}

describe('createMachineUsage()', () => {
  it.each<[string, readonly string[], readonly (number | undefined)[]]>([
    ['nothing at the first reading', ['cpu  10 0 10 80 0 0 0 0 0 0'], [undefined]],
    [
      'what was busy since the one before',
      [
        'cpu  100 0 100 800 0 0 0 0 0 0',
        'cpu  130 10 120 840 0 0 0 0 0 0',
        'cpu  130 10 120 1040 0 0 0 0 0 0',
      ],
      [undefined, 60, 0],
    ],
    [
      'waiting for disks as idle, and guests once',
      ['cpu  0 0 0 0 0 0 0 0 0 0', 'cpu  40 0 0 30 30 0 0 0 40 0'],
      [undefined, 40],
    ],
    [
      'the reading before, where hardly any time passed',
      ['cpu  0 0 0 0', 'cpu  50 0 0 50', 'cpu  59 0 0 50', 'cpu  100 0 0 50'],
      [undefined, 50, 50, 100],
    ],
    ['nothing where the system does not tell', ['', 'cpu0 1 2 3 4'], [undefined, undefined]],
  ])('cpuPercent() is %s', async (_, readings, expected) => {
    const left = [...readings];
    const cpuTimes = () => Promise.resolve(`${left.shift() ?? ''}\ncpu0 1 1 1 1\nintr 5\n`);
    const usage = createMachineUsage(aMachine({ cpuTimes }));
    const percents: (number | undefined)[] = [];
    for (let i = 0; i < readings.length; i++) percents.push(await usage.cpuPercent());
    expect(percents).toEqual(expected);
  });

  it('memoryPercent() is what is not available', () => {
    const memory = () => ({ totalBytes: 3000, availableBytes: 1000 });
    expect(createMachineUsage(aMachine({ memory })).memoryPercent()).toBe(66.7);
  });

  it('diskPercent() leaves out what is reserved for root', async () => {
    const disk = () => Promise.resolve({ blocks: 1000, bfree: 600, bavail: 400 });
    expect(await createMachineUsage(aMachine({ disk })).diskPercent()).toBe(50);
  });

  it.each<[string, Partial<Machine>]>([
    ['fails', {}],
    ['has no blocks', { disk: () => Promise.resolve({ blocks: 0, bfree: 0, bavail: 0 }) }],
  ])('diskPercent() is unknown where the file system %s', async (_, known) => {
    expect(await createMachineUsage(aMachine(known)).diskPercent()).toBeUndefined();
  });

  it('is unknown, and no error, where the system has no such file', async () => {
    expect(await createMachineUsage(aMachine({})).cpuPercent()).toBeUndefined();
  });

  it('reads this machine', async () => {
    const usage = createMachineUsage(thisMachine);
    expect(usage.memoryPercent()).toBeGreaterThan(0);
    expect(usage.memoryPercent()).toBeLessThan(100);
    expect(await usage.diskPercent()).toBeGreaterThanOrEqual(0);
  });
});
