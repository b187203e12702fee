import { describe, expect, it } from '@jest/globals';
import { configForm, fieldsOf } from '../../../src/config/json-schema.ts';
import { statsSection } from '../../../src/config/sections/stats.ts';
import { sectionFaults } from './section-faults.ts';

const faultsOf = (written: unknown): string[] => sectionFaults(statsSection, written);

describe('statsSection', () => {
  it('says nothing by default', () => {
    expect(statsSection.parse({})).toEqual({
      windowMs: 60_000,
      logIntervalMs: 0,
      routingLog: false,
      vllmNames: false,
    });
  });

  it('takes every field', () => {
    expect(statsSection.parse({ window: '5m', logInterval: 10, routingLog: true, vllmNames: true })).toEqual({
      windowMs: 300_000,
      logIntervalMs: 10_000,
      routingLog: true,
      vllmNames: true,
    });
  });

  it.each(['1s', '1000ms', 1, '1h', 3600])('takes a window of %p', (window) => {
    expect(faultsOf({ window })).toEqual([]);
  });

  it.each([
    [{ window: '999ms' }, 'window: duration "999ms" is out of range: 1s to 1h'],
    [{ window: '61m' }, 'window: duration "61m" is out of range: 1s to 1h'],
    [{ window: 0 }, 'window: duration 0 is out of range: 1s to 1h'],
    [{ window: '25h' }, 'window: duration "25h" is out of range: 1s to 1h'],
    [
      { window: 'a minute' },
      'window: "a minute" is not a duration: write it like 250ms, 1s, 5m, or as a number of seconds',
    ],
    [{ logInterval: -1 }, 'logInterval: duration -1 is out of range: 0 to 24 days'],
    [{ routingLog: 'yes' }, 'routingLog: "yes" is not true or false'],
    [{ vllmnames: true }, ': there is no field "vllmnames" here'],
  ])('refuses %p', (written, fault) => {
    expect(faultsOf(written)).toEqual([fault]);
  });

  it('has a form for editors', () => {
    const { window, logInterval } = fieldsOf(configForm(statsSection));
    expect(window).toMatchObject({ default: '1m', 'x-unit': 'duration' });
    expect(logInterval).toMatchObject({ default: '0s', minimum: 0, 'x-unit': 'duration' });
  });
});
