import { describe, expect, it } from '@jest/globals';
import { SlotClock } from '../../src/fairness/slot-clock.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { FakeClock } from '../support/fake-clock.ts';

/** A clock whose process began `originMs` earlier, at the same wall-clock time. */
function startedEarlier(clock: FakeClock, originMs: number): Clock {
  return {
    nowMs: () => clock.nowMs() + originMs,
    epochMs: () => clock.epochMs(),
    after: (delayMs, callback) => clock.after(delayMs, callback),
  };
}

describe('SlotClock', () => {
  it('slotAt() grows by one with each sixtieth of the window', () => {
    const clock = new FakeClock();
    const slots = new SlotClock(clock, 60_000);
    const first = slots.slotAt(clock.nowMs());
    const seen = Array.from({ length: 4 }, () => {
      clock.advance(500);
      return slots.slotAt(clock.nowMs()) - first;
    });
    expect(seen).toEqual([0, 1, 1, 2]);
  });

  it('slotAt() is the same in processes that started at different times', () => {
    const clock = new FakeClock();
    const late = startedEarlier(clock, 12_345.678);
    const [here, there] = [new SlotClock(clock, 90_000), new SlotClock(late, 90_000)];
    for (let i = 0; i < 100; i++) {
      expect(there.slotAt(late.nowMs())).toBe(here.slotAt(clock.nowMs()));
      clock.advance(377);
    }
  });

  it('slotAt() follows a wall clock that is set, from the next slot on', () => {
    const clock = new FakeClock();
    let setByMs = 0;
    const wall: Clock = {
      nowMs: () => clock.nowMs(),
      epochMs: () => clock.epochMs() + setByMs,
      after: (delayMs, callback) => clock.after(delayMs, callback),
    };
    const slots = new SlotClock(wall, 60_000);
    const first = slots.slotAt(0);
    setByMs = -10_000;
    clock.advance(999);
    expect(slots.slotAt(clock.nowMs()) - first).toBe(0);
    clock.advance(1);
    expect(slots.slotAt(clock.nowMs()) - first).toBe(-9);
  });
});
