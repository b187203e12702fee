import { describe, expect, it } from '@jest/globals';
import { sessionBoostSection } from '../../../src/config/sections/session-boost.ts';
import { sectionFaults } from './section-faults.ts';

const faultsOf = (written: unknown): string[] => sectionFaults(sessionBoostSection, written);

describe('sessionBoostSection', () => {
  it('is off by default, and as in Kthena otherwise', () => {
    expect(sessionBoostSection.parse({})).toEqual({
      enabled: false,
      header: 'x-session-id',
      maxSessions: 4096,
      inflightPerPod: 16,
      gracePeriodMs: 0,
      timeoutMs: 30_000,
    });
  });

  it('takes every field', () => {
    expect(
      sessionBoostSection.parse({
        enabled: true,
        header: 'X-Chat',
        maxSessions: 10,
        inflightPerPod: 2,
        gracePeriod: '500ms',
        timeout: 90,
      }),
    ).toEqual({
      enabled: true,
      header: 'x-chat',
      maxSessions: 10,
      inflightPerPod: 2,
      gracePeriodMs: 500,
      timeoutMs: 90_000,
    });
  });

  it.each([0, '0', '0s', '59m'])(
    'lets requests wait as long as Envoy allows with a timeout of %p',
    (timeout) => {
      expect(sessionBoostSection.parse({ timeout }).timeoutMs).toBe(3_540_000);
    },
  );

  it.each([
    [{ enabled: 'yes' }, 'enabled: "yes" is not true or false'],
    [{ header: '' }, 'header: "" is not the name of a header'],
    [{ header: 'a b' }, 'header: "a b" is not the name of a header'],
    [{ maxSessions: 0 }, 'maxSessions: 0 is too small: the least is 1'],
    [{ maxSessions: 1_000_001 }, 'maxSessions: 1000001 is too great: the greatest is 1000000'],
    [{ inflightPerPod: 0 }, 'inflightPerPod: 0 is too small: the least is 1'],
    [{ gracePeriod: -1 }, 'gracePeriod: duration -1 is out of range: 0 to 24 days'],
    [{ timeout: '1h' }, 'timeout: duration "1h" is out of range: 0 to 59m'],
    [{ timeout: -1 }, 'timeout: duration -1 is out of range: 0 to 59m'],
    [{ inFlightPerPod: 4 }, ': there is no field "inFlightPerPod" here'],
  ])('refuses %p', (written, fault) => {
    expect(faultsOf(written)).toEqual([fault]);
  });
});
