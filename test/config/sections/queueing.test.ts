import { describe, expect, it } from '@jest/globals';
import { parseConfig } from '../../../src/config/load.ts';
import { longestWait, longestWaitMs, queueNotes, twoOrders } from '../../../src/config/sections/queueing.ts';
import { duration } from '../../../src/config/units.ts';

const notesOn = (text: string): string[] => queueNotes(parseConfig(text, 'f').config);

const issuer =
  'auth: { issuer: https://i.example, audiences: [a], jwksUri: https://i.example/jwks }\nfairness: { enabled: true }';

describe('longestWaitMs', () => {
  it('is the longest wait, and leaves time for an answer within the hour of Envoy', () => {
    expect(duration().parse(longestWait)).toBe(longestWaitMs);
    expect(longestWaitMs).toBeLessThan(3_600_000);
  });
});

describe('twoOrders()', () => {
  it.each([
    [{}],
    [{ fairness: { enabled: true }, sessionBoost: { enabled: false } }],
    [{ fairness: { enabled: false }, sessionBoost: { enabled: true } }],
    [{ fairness: 'on', sessionBoost: undefined }],
    [undefined],
  ])('has nothing against %j', (sections) => {
    expect(twoOrders(sections)).toBeUndefined();
  });

  it('refuses both', () => {
    expect(twoOrders({ fairness: { enabled: true }, sessionBoost: { enabled: true } })).toBe(
      'fairness.enabled is true as well, and a queue has one order: turn one of them off',
    );
  });
});

describe('queueNotes()', () => {
  const wait = (ms: string): string =>
    `requests may wait for ${ms}, and an Envoy that Sluice does not start has to allow that: by a max_message_timeout of at least as much or, where there is none, as in Envoy Gateway, by a longer messageTimeout`;

  it('says nothing where nobody waits', () => {
    expect(notesOn('fairness: { queueTimeout: 59m }\nsessionBoost: { timeout: 59m }')).toEqual([]);
  });

  it('says how long other Envoys must let requests wait', () => {
    expect(notesOn(issuer)).toEqual([`fairness.queueTimeout: ${wait('1m')}`]);
    expect(notesOn('sessionBoost: { enabled: true, timeout: 0 }')).toEqual([
      `sessionBoost.timeout: ${wait('59m')}`,
    ]);
  });

  const oneCaller =
    'fairness.enabled: without an issuer all callers are one, and wait in order of arrival: name an issuer, or tell them apart by auth.anonymous';

  it.each([
    ['everybody is one caller', 'fairness: { enabled: true }', [oneCaller]],
    [
      'callers are told apart by address',
      'fairness: { enabled: true }\nauth: { anonymous: { by: address } }',
      [],
    ],
    ['callers do not count', 'fairness: { enabled: true, policy: fifo }', []],
    ['nobody waits', 'fairness: { enabled: false }', []],
  ])('says where %s whether that makes a difference', (_, text, expected) => {
    expect(notesOn(text).filter((note) => note.startsWith('fairness.enabled'))).toEqual(expected);
  });
});
