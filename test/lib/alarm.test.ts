import { describe, expect, it } from '@jest/globals';
import { createAlarm } from '../../src/lib/alarm.ts';
import { FakeClock } from '../support/fake-clock.ts';

describe('createAlarm()', () => {
  it('rings once, at the earliest moment, with one timer', () => {
    const clock = new FakeClock();
    const rungAtMs: number[] = [];
    const alarm = createAlarm(clock, () => rungAtMs.push(clock.nowMs()));
    clock.advance(5);
    for (const momentMs of [300, 100, 200]) alarm.at(momentMs);
    expect(clock.pending).toBe(1);
    clock.advance(1000);
    expect(rungAtMs).toEqual([100]);
  });

  it('may be set again while it rings', () => {
    const clock = new FakeClock();
    const rungAtMs: number[] = [];
    const alarm = createAlarm(clock, () => {
      rungAtMs.push(clock.nowMs());
      if (rungAtMs.length < 3) alarm.at(clock.nowMs() + 10);
    });
    alarm.at(10);
    clock.advance(100);
    expect([rungAtMs, clock.pending]).toEqual([[10, 20, 30], 0]);
  });

  it('cancel() forgets, and does not stop it for ever', () => {
    const clock = new FakeClock();
    let rings = 0;
    const alarm = createAlarm(clock, () => rings++);
    alarm.at(10);
    alarm.cancel();
    alarm.cancel();
    clock.advance(20);
    expect([rings, clock.pending]).toEqual([0, 0]);
    alarm.at(30);
    clock.advance(10);
    expect(rings).toBe(1);
  });
});
