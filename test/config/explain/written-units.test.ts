import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import {
  formatDuration,
  formatSize,
  inUsualForm,
  unitOf,
} from '../../../src/config/explain/written-units.ts';
import { duration, size } from '../../../src/config/units.ts';

describe('formatDuration()', () => {
  it.each([
    [0, '0s'],
    [0.5, '0.5ms'],
    [250, '250ms'],
    [1000, '1s'],
    [1500, '1.5s'],
    [60_000, '1m'],
    [90_000, '1m30s'],
    [5_400_000, '1h30m'],
    [3_600_001, '1h0.001s'],
    [86_400_000, '24h'],
  ])('writes %d ms as %s, which is read as the same', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
    expect(duration({ zero: true }).parse(text)).toBe(ms);
  });
});

describe('formatSize()', () => {
  it.each([
    [1, '1B'],
    [1023, '1023B'],
    [1000, '1KB'],
    [1024, '1KiB'],
    [500_000, '500KB'],
    [16 * 1024 ** 2, '16MiB'],
    [3 * 1024 ** 3, '3GiB'],
    [2_000_000_000, '2GB'],
    [1_000_001, '1000001B'],
  ])('writes %d bytes as %s, which is read as the same', (bytes, text) => {
    expect(formatSize(bytes)).toBe(text);
    expect(size().parse(text)).toBe(bytes);
  });
});

describe('inUsualForm()', () => {
  it.each([
    ['duration', 90, '1m30s'],
    ['duration', '90000ms', '1m30s'],
    ['duration', '0', '0s'],
    ['duration', 'soon', undefined],
    ['size', 65_536, '64KiB'],
    ['size', '0.5MiB', '512KiB'],
    ['size', true, undefined],
  ] as const)('takes the %s %j for %s', (unit, written, expected) => {
    expect(inUsualForm(unit, written)).toBe(expected);
  });
});

describe('unitOf()', () => {
  it.each([
    ['a duration', duration(), 'duration'],
    ['a duration with a default', duration({ zero: true }).default(0).describe('x'), 'duration'],
    ['an optional duration', duration().optional(), 'duration'],
    ['a duration within a range', duration().refine((ms) => ms >= 60_000), 'duration'],
    ['a size', size(), 'size'],
    ['a size with a default', size().default(1), 'size'],
    ['a text', z.string(), undefined],
    ['a number', z.number(), undefined],
    ['a text or a number', z.union([z.string(), z.number()]), undefined],
    ['a number or a name, which 1s may be', z.union([z.int(), z.string().regex(/^[a-z0-9]+$/)]), undefined],
  ])('knows %s', (_, schema, unit) => {
    expect(unitOf(schema)).toBe(unit);
  });
});
