import { describe, expect, it } from '@jest/globals';
import { EngineDriver } from '../../src/engine-sim/engine-driver.ts';
import type { EngineEvent, EngineRequest } from '../../src/engine-sim/engine.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { smallProfile } from './support.ts';

function harness(speed = 1) {
  const clock = new FakeClock();
  const seen: string[] = [];
  const all: EngineEvent[] = [];
  const driver = new EngineDriver({
    profile: smallProfile(),
    clock,
    speed,
    onEvent: (event) => all.push(event),
  });
  const submit = (...ids: string[]) => {
    driver.submit(ids.map(request), (event) => seen.push(`${clock.nowMs()} ${event.id} ${event.kind}`));
  };
  return { clock, driver, seen, all, submit };
}

function request(id: string): EngineRequest {
  return { id, promptTokens: 4, outputTokens: 3, finishReason: 'stop', blockHashes: [] };
}

describe('EngineDriver', () => {
  it('submit() runs requests in real time, with one timer for all of them and none when idle', () => {
    const { clock, seen, submit } = harness();
    expect(clock.pending).toBe(0);
    submit('1', '2');
    expect(clock.pending).toBe(1);
    clock.advance(10);
    expect(clock.pending).toBe(1);
    clock.advance(100);
    expect(seen).toEqual([
      '0 1 queued',
      '0 2 queued',
      '10 1 first-token',
      '10 2 first-token',
      '20 1 token',
      '20 2 token',
      '30 1 token',
      '30 1 finished',
      '30 2 token',
      '30 2 finished',
    ]);
    expect(clock.pending).toBe(0);
  });

  it('submit() goes faster with speed', () => {
    const { clock, seen, submit } = harness(10);
    submit('1');
    clock.advance(3);
    expect(seen.at(-1)).toBe('3 1 finished');
  });

  it('abort() ends the timer with the last request and tells its listener nothing', () => {
    const { clock, driver, seen, all, submit } = harness();
    submit('1');
    clock.advance(10);
    driver.abort(['1']);
    clock.advance(10);
    expect(seen).toEqual(['0 1 queued', '10 1 first-token']);
    expect(all.at(-1)).toMatchObject({ kind: 'finished', reason: 'abort' });
    expect(clock.pending).toBe(0);
  });

  it('setPace() stops time and lets it go on where it stopped', () => {
    const { clock, driver, seen, submit } = harness();
    submit('1');
    clock.advance(15);
    driver.setPace({ slowdown: 1, frozen: true });
    expect(clock.pending).toBe(0);
    clock.advance(1000);
    submit('2');
    expect(driver.stats()).toMatchObject({ running: 1, waiting: 1 });
    driver.setPace({ slowdown: 1, frozen: false });
    clock.advance(5);
    expect(seen.slice(-2)).toEqual(['1015 2 queued', '1020 1 token']);
  });

  it('setPace() slows steps down', () => {
    const { clock, driver, seen, submit } = harness();
    driver.setPace({ slowdown: 3, frozen: false });
    submit('1');
    clock.advance(1000);
    expect(seen.slice(1)).toEqual(['30 1 first-token', '60 1 token', '90 1 token', '90 1 finished']);
  });

  it('stop() leaves no timer', () => {
    const { clock, driver, submit } = harness();
    submit('1');
    driver.stop();
    expect(clock.pending).toBe(0);
  });
});
