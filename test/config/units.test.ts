import { describe, expect, it } from '@jest/globals';
import { duration, size } from '../../src/config/units.ts';

describe('duration()', () => {
  it.each([
    ['250ms', 250],
    ['1s', 1000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1m30s', 90_000],
    [3, 3000],
    [0.25, 250],
  ])('reads %p', (text, ms) => {
    expect(duration().parse(text)).toBe(ms);
  });

  it.each(['', '5', '5x', '-1s', '1 s', 's', '1s!', true, null, Number.NaN, Infinity, -1, 0, '0s', '600h'])(
    'refuses %p',
    (text) => {
      expect(duration().safeParse(text).success).toBe(false);
    },
  );

  it.each([0, '0', '0s'])('reads %p as none where it is allowed', (text) => {
    expect(duration({ zero: true }).parse(text)).toBe(0);
  });

  it('says what it expects', () => {
    expect(duration().safeParse('5x').error?.issues[0]?.message).toBe(
      '"5x" is not a duration: write it like 250ms, 1s, 5m, or as a number of seconds',
    );
  });
});

describe('duration() between bounds', () => {
  const bounded = duration({ least: '1m', most: '1h' });

  it.each(['1m', 60, '60000ms', '59m60s', '1h', 3600])('takes %p', (text) => {
    expect(bounded.safeParse(text).success).toBe(true);
  });

  it.each(['59.9s', '61m', 59, 3601, 0, '0', -60, '600h'])('refuses %p, and says which are taken', (text) => {
    expect(bounded.safeParse(text).error?.issues.map(({ message }) => message)).toEqual([
      `duration ${JSON.stringify(text)} is out of range: 1m to 1h`,
    ]);
  });

  it('takes 0 beside them where it is allowed', () => {
    const orNone = duration({ zero: true, most: '1h' });
    expect(orNone.parse(0)).toBe(0);
    expect(orNone.safeParse('61m').error?.issues[0]?.message).toBe('duration "61m" is out of range: 0 to 1h');
  });

  it.each(['soon', Infinity, Number.NaN, '9'.repeat(400) + 'h'])('says of %p that it is none', (text) => {
    expect(bounded.safeParse(text).error?.issues[0]?.message).toMatch(/is not a duration/);
  });
});

describe('size()', () => {
  it.each([
    [1, 1],
    ['4096', 4096],
    ['16MiB', 16_777_216],
    ['16 MiB', 16_777_216],
    ['1.5KiB', 1536],
    ['500KB', 500_000],
    ['2GB', 2_000_000_000],
  ])('reads %p', (text, bytes) => {
    expect(size().parse(text)).toBe(bytes);
  });

  it.each(['', 'MiB', '16mib', '-1', 0, 1.5, '1.0001KiB', true, '9e9'])('refuses %p', (text) => {
    expect(size().safeParse(text).success).toBe(false);
  });
});
