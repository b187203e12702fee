import { describe, expect, it } from '@jest/globals';
import { describeIssue } from '../../../src/config/describe-issue.ts';
import { fairnessSection } from '../../../src/config/sections/fairness.ts';

/** Path and message of every fault. */
function faultsOf(written: unknown): string[] {
  const issues = fairnessSection.safeParse(written).error?.issues ?? [];
  return issues.map((issue) => `${issue.path.join('.')}: ${describeIssue(issue, written)}`);
}

describe('fairnessSection', () => {
  it('is off by default', () => {
    expect(fairnessSection.parse({})).toEqual({
      enabled: false,
      policy: 'vtc',
      windowSizeMs: 300_000,
      inputTokenWeight: 1,
      outputTokenWeight: 2,
      priorityTokenWeight: 1,
      priorityRequestNumWeight: 0,
      maxConcurrent: 0,
      maxQps: 0,
      queueTimeoutMs: 60_000,
    });
  });

  it('takes every field', () => {
    expect(
      fairnessSection.parse({
        enabled: true,
        policy: 'window',
        windowSize: '10m',
        inputTokenWeight: 0,
        outputTokenWeight: 2.5,
        priorityTokenWeight: 0,
        priorityRequestNumWeight: 3,
        maxConcurrent: 16,
        maxQps: 0.5,
        queueTimeout: 1.5,
      }),
    ).toEqual({
      enabled: true,
      policy: 'window',
      windowSizeMs: 600_000,
      inputTokenWeight: 0,
      outputTokenWeight: 2.5,
      priorityTokenWeight: 0,
      priorityRequestNumWeight: 3,
      maxConcurrent: 16,
      maxQps: 0.5,
      queueTimeoutMs: 1500,
    });
  });

  it.each(['1m', '60s', 60, '59m60s', '1h', 3600])('takes a window of %p', (windowSize) => {
    expect(faultsOf({ windowSize })).toEqual([]);
  });

  it.each([
    [{ windowSize: '59.9s' }, 'windowSize: duration "59.9s" is out of range: 1m to 1h'],
    [{ windowSize: '2h' }, 'windowSize: duration "2h" is out of range: 1m to 1h'],
    [{ windowSize: 3601 }, 'windowSize: duration 3601 is out of range: 1m to 1h'],
    [{ windowSize: 0 }, 'windowSize: duration 0 is out of range: 1m to 1h'],
    [
      { windowSize: '5 minutes' },
      'windowSize: "5 minutes" is not a duration: write it like 250ms, 1s, 5m, or as a number of seconds',
    ],
    [
      { windowSize: true },
      'windowSize: true is not a duration: write it like 250ms, 1s, 5m, or as a number of seconds',
    ],
    [{ queueTimeout: 0 }, 'queueTimeout: duration 0 is out of range: more than 0 to 24 days'],
    [{ inputTokenWeight: -1 }, 'inputTokenWeight: -1 is too small: the least is 0'],
    [{ outputTokenWeight: Infinity }, 'outputTokenWeight: .inf is not a finite number'],
    [{ priorityTokenWeight: Number.NaN }, 'priorityTokenWeight: .nan is not a number'],
    [{ priorityRequestNumWeight: '1' }, 'priorityRequestNumWeight: "1" is not a number'],
    [{ maxConcurrent: 1.5 }, 'maxConcurrent: 1.5 is not a whole number'],
    [{ maxConcurrent: -1 }, 'maxConcurrent: -1 is too small: the least is 0'],
    [{ maxQps: -0.1 }, 'maxQps: -0.1 is too small: the least is 0'],
    [{ enabled: 'yes' }, 'enabled: "yes" is not true or false'],
    [{ policy: 'windows' }, 'policy: "windows" is not one of "vtc", "window"; did you mean "window"?'],
    [{ windowsize: '5m' }, ': there is no field "windowsize" here'],
    [
      { policy: 'window', priorityTokenWeight: 0 },
      'priorityTokenWeight: priorityTokenWeight and priorityRequestNumWeight are both 0, and policy window has nothing to go by: make one of them more than 0',
    ],
  ])('refuses %p', (written, fault) => {
    expect(faultsOf(written)).toEqual([fault]);
  });

  it('does not ask policy vtc for weights that only policy window goes by', () => {
    expect(faultsOf({ priorityTokenWeight: 0, priorityRequestNumWeight: 0 })).toEqual([]);
  });
});
