import { describe, expect, it } from '@jest/globals';
import { fairnessSection } from '../../../src/config/sections/fairness.ts';
import { sectionFaults } from './section-faults.ts';

const faultsOf = (written: unknown): string[] => sectionFaults(fairnessSection, written);

describe('fairnessSection', () => {
  it('is off by default', () => {
    expect(fairnessSection.parse({})).toEqual({
      enabled: false,
      policy: 'vtc',
      windowSizeMs: 300_000,
      inputTokenWeight: 1,
      outputTokenWeight: 2,
      cachedTokenWeight: 1,
      priorityTokenWeight: 1,
      priorityRequestNumWeight: 0,
      maxWaitingRequests: 4,
      maxInFlightPerEndpoint: 256,
      maxConcurrent: 0,
      maxQps: 0,
      queueTimeoutMs: 60_000,
      agingAfterMs: 10_000,
      maxQueued: 10_000,
      maxQueuedBytes: 256 * 1024 ** 2,
      maxQueuedPerPrincipal: 1000,
      maxPrincipals: 100_000,
      weights: { claim: undefined, subjects: {}, tiers: {}, groups: {}, default: 1 },
    });
  });

  it('takes every field', () => {
    const same = {
      enabled: true,
      policy: 'window',
      inputTokenWeight: 0,
      outputTokenWeight: 2.5,
      cachedTokenWeight: 0.1,
      priorityTokenWeight: 0,
      priorityRequestNumWeight: 3,
      maxWaitingRequests: 1,
      maxInFlightPerEndpoint: 32,
      maxConcurrent: 16,
      maxQps: 0.5,
      maxQueued: 100,
      maxQueuedBytes: 1024,
      maxQueuedPerPrincipal: 10,
      maxPrincipals: 1000,
      weights: {
        claim: 'limits.share',
        subjects: { alice: 3 },
        tiers: { gold: 4, free: 0.5 },
        groups: { research: 1000 },
        default: 0.001,
      },
    };
    expect(
      fairnessSection.parse({ ...same, windowSize: '10m', queueTimeout: 1.5, agingAfter: '30s' }),
    ).toEqual({ ...same, windowSizeMs: 600_000, queueTimeoutMs: 1500, agingAfterMs: 30_000 });
  });

  it('takes shares without anything in them for none', () => {
    const weights = { claim: '', subjects: null, tiers: null, groups: null };
    expect(fairnessSection.parse({ weights }).weights).toEqual(fairnessSection.parse({}).weights);
  });

  it('turns ageing off', () => {
    expect(fairnessSection.parse({ agingAfter: 0 }).agingAfterMs).toBe(0);
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
    [{ queueTimeout: 0 }, 'queueTimeout: duration 0 is out of range: more than 0 to 59m'],
    [{ queueTimeout: '1h' }, 'queueTimeout: duration "1h" is out of range: more than 0 to 59m'],
    [{ agingAfter: -1 }, 'agingAfter: duration -1 is out of range: 0 to 24 days'],
    [{ inputTokenWeight: -1 }, 'inputTokenWeight: -1 is too small: the least is 0'],
    [{ outputTokenWeight: Infinity }, 'outputTokenWeight: .inf is not a finite number'],
    [{ outputTokenWeight: 1e7 }, 'outputTokenWeight: 10000000 is too great: the greatest is 1000000'],
    [{ cachedTokenWeight: 1.1 }, 'cachedTokenWeight: 1.1 is too great: the greatest is 1'],
    [{ cachedTokenWeight: -0.1 }, 'cachedTokenWeight: -0.1 is too small: the least is 0'],
    [{ priorityTokenWeight: Number.NaN }, 'priorityTokenWeight: .nan is not a number'],
    [{ priorityRequestNumWeight: '1' }, 'priorityRequestNumWeight: "1" is not a number'],
    [{ maxConcurrent: 1.5 }, 'maxConcurrent: 1.5 is not a whole number'],
    [{ maxConcurrent: -1 }, 'maxConcurrent: -1 is too small: the least is 0'],
    [{ maxWaitingRequests: 0 }, 'maxWaitingRequests: 0 is too small: the least is 1'],
    [{ maxInFlightPerEndpoint: 0 }, 'maxInFlightPerEndpoint: 0 is too small: the least is 1'],
    [{ maxQueued: 0 }, 'maxQueued: 0 is too small: the least is 1'],
    [{ maxQueuedPerPrincipal: 0.5 }, 'maxQueuedPerPrincipal: 0.5 is not a whole number'],
    [{ maxPrincipals: 1e7 }, 'maxPrincipals: 10000000 is too great: the greatest is 1000000'],
    [{ weights: { subjects: { alice: 0 } } }, 'weights.subjects.alice: 0 is too small: the least is 0.001'],
    [{ weights: { tiers: { gold: 1001 } } }, 'weights.tiers.gold: 1001 is too great: the greatest is 1000'],
    [{ weights: { groups: { ops: '2' } } }, 'weights.groups.ops: "2" is not a number'],
    [{ weights: { groups: { '': 2 } } }, 'weights.groups.: the key "" is not valid: must not be empty'],
    [{ weights: { default: -1 } }, 'weights.default: -1 is too small: the least is 0.001'],
    [{ weights: { claim: 5 } }, 'weights.claim: 5 is not a string'],
    [{ weights: { users: {} } }, 'weights: there is no field "users" here'],
    [{ maxQps: -0.1 }, 'maxQps: -0.1 is too small: the least is 0'],
    [{ enabled: 'yes' }, 'enabled: "yes" is not true or false'],
    [
      { policy: 'windows' },
      'policy: "windows" is not one of "vtc", "window", "fifo"; did you mean "window"?',
    ],
    [{ windowsize: '5m' }, ': there is no field "windowsize" here'],
    [
      { policy: 'window', priorityTokenWeight: 0 },
      'priorityTokenWeight: priorityTokenWeight and priorityRequestNumWeight are both 0, and policy window has nothing to go by: make one of them more than 0',
    ],
    [
      { policy: 'window', inputTokenWeight: 0, outputTokenWeight: 0 },
      'inputTokenWeight: inputTokenWeight and outputTokenWeight are both 0, and policy window has nothing to go by: make one of them more than 0',
    ],
    [
      { inputTokenWeight: 0, outputTokenWeight: 0 },
      'inputTokenWeight: inputTokenWeight and outputTokenWeight are both 0, and policy vtc has nothing to go by: make one of them more than 0',
    ],
  ])('refuses %p', (written, fault) => {
    expect(faultsOf(written)).toEqual([fault]);
  });

  it.each([
    ['vtc', { priorityTokenWeight: 0, priorityRequestNumWeight: 0 }],
    ['vtc', { inputTokenWeight: 0 }],
    ['window', { inputTokenWeight: 0, outputTokenWeight: 0, priorityRequestNumWeight: 1 }],
    ['fifo', { inputTokenWeight: 0, outputTokenWeight: 0, priorityTokenWeight: 0 }],
  ])('does not ask policy %s for weights that it does not go by: %p', (policy, weights) => {
    expect(faultsOf({ policy, ...weights })).toEqual([]);
  });
});
