import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  createLedger,
  type Ledger,
  type LedgerOptions,
  type Reservation,
} from '../../src/fairness/ledger.ts';
import { weightedTokens, type TokenCount } from '../../src/fairness/token-count.ts';
import { FakeClock } from '../support/fake-clock.ts';

const minuteMs = 60_000;

const usual: LedgerOptions = {
  windowSizeMs: 5 * minuteMs,
  inputTokenWeight: 1,
  outputTokenWeight: 2,
  cachedTokenWeight: 1,
  maxEntries: 100,
};

function aLedger(changes: Partial<LedgerOptions> = {}): { clock: FakeClock; ledger: Ledger } {
  const clock = new FakeClock();
  return { clock, ledger: createLedger({ clock }, { ...usual, ...changes }) };
}

function tokens(inputTokens: number, outputTokens: number, cachedInputTokens = 0): TokenCount {
  return { inputTokens, cachedInputTokens, outputTokens };
}

const nothing = tokens(0, 0);

/** Charges what no reservation expected. */
function charge(
  ledger: Ledger,
  principal: string,
  model: string,
  count: TokenCount,
  estimated = false,
): void {
  ledger.reserve(principal, model, nothing).settle({ ...count, estimated });
}

describe('Ledger', () => {
  it('knows nothing of anybody at first', () => {
    const { ledger } = aLedger();
    expect([
      ledger.weighted('ann', 'llama'),
      ledger.requests('ann', 'llama'),
      ledger.list(10),
      ledger.size,
    ]).toEqual([0, 0, [], 0]);
  });

  it('weighted() and requests() keep principals and models apart', () => {
    const { ledger } = aLedger();
    charge(ledger, 'ann', 'llama', tokens(10, 5));
    charge(ledger, 'ann', 'llama', tokens(1, 1));
    charge(ledger, 'ann', 'qwen', tokens(100, 50));
    charge(ledger, 'bob', 'llama', tokens(1000, 500));
    const pairs = [
      ['ann', 'llama'],
      ['ann', 'qwen'],
      ['bob', 'llama'],
      ['bob', 'qwen'],
    ] as const;
    expect(pairs.map(([principal, model]) => ledger.weighted(principal, model))).toEqual([23, 200, 2000, 0]);
    expect(pairs.map(([principal, model]) => ledger.requests(principal, model))).toEqual([2, 1, 1, 0]);
  });

  it.each<[string, Partial<LedgerOptions>, number]>([
    [
      'input and output by their weights',
      { inputTokenWeight: 3, outputTokenWeight: 0.5 },
      3 * 100 + 0.5 * 40,
    ],
    ['cached input tokens as a share', { cachedTokenWeight: 0.25 }, 40 + 0.25 * 60 + 2 * 40],
    ['nothing where weights are 0', { inputTokenWeight: 0, outputTokenWeight: 0 }, 0],
  ])('weighted() counts %s', (_, weights, expected) => {
    const { ledger } = aLedger(weights);
    charge(ledger, 'ann', 'llama', tokens(100, 40, 60));
    expect(ledger.weighted('ann', 'llama')).toBe(expected);
  });

  it('weighted() does not count more cached tokens than there were input tokens', () => {
    const { ledger } = aLedger({ cachedTokenWeight: 0 });
    charge(ledger, 'ann', 'llama', tokens(10, 0, 1000));
    charge(ledger, 'ann', 'llama', tokens(7, 0));
    expect(ledger.weighted('ann', 'llama')).toBe(7);
  });

  describe('window', () => {
    it('counts what was used for its length, and no more than a sixtieth longer', () => {
      const { clock, ledger } = aLedger();
      clock.advance(1234);
      charge(ledger, 'ann', 'llama', tokens(10, 5));
      clock.advance(5 * minuteMs);
      expect([ledger.weighted('ann', 'llama'), ledger.requests('ann', 'llama')]).toEqual([20, 1]);
      clock.advance(5000);
      expect([ledger.weighted('ann', 'llama'), ledger.requests('ann', 'llama')]).toEqual([0, 0]);
    });

    it('slides: each slot leaves on its own', () => {
      const { clock, ledger } = aLedger();
      for (let i = 0; i < 5; i++) {
        charge(ledger, 'ann', 'llama', tokens(10 ** i, 0));
        clock.advance(minuteMs);
      }
      const seen = Array.from({ length: 6 }, () => {
        clock.advance(5000);
        const weighted = ledger.weighted('ann', 'llama');
        clock.advance(minuteMs - 5000);
        return weighted;
      });
      expect(seen).toEqual([11110, 11100, 11000, 10000, 0, 0]);
    });

    it('slotAt() changes before anything leaves', () => {
      const { clock, ledger } = aLedger({ windowSizeMs: minuteMs });
      charge(ledger, 'ann', 'llama', tokens(1, 0));
      let before = { slot: ledger.slotAt(clock.nowMs()), weighted: ledger.weighted('ann', 'llama') };
      for (let i = 0; i < 700; i++) {
        clock.advance(100);
        const now = { slot: ledger.slotAt(clock.nowMs()), weighted: ledger.weighted('ann', 'llama') };
        if (now.weighted < before.weighted) expect(now.slot).toBeGreaterThan(before.slot);
        before = now;
      }
      expect(before.weighted).toBe(0);
    });
  });

  describe('reservation', () => {
    it('counts until it is settled, then what was spent does', () => {
      const { ledger } = aLedger();
      const reservation = ledger.reserve('ann', 'llama', tokens(100, 50));
      expect([ledger.weighted('ann', 'llama'), ledger.requests('ann', 'llama')]).toEqual([200, 1]);
      reservation.settle({ ...tokens(90, 10), estimated: false });
      expect([ledger.weighted('ann', 'llama'), ledger.requests('ann', 'llama')]).toEqual([110, 1]);
    });

    it('leaves no trace where nothing was used', () => {
      const { ledger } = aLedger();
      ledger.reserve('ann', 'llama', tokens(100, 50)).settle(undefined);
      expect([
        ledger.weighted('ann', 'llama'),
        ledger.requests('ann', 'llama'),
        ledger.totals().size,
      ]).toEqual([0, 0, 0]);
    });

    it.each<[string, TokenCount | undefined, number]>([
      ['spent something', tokens(7, 0), 7],
      ['spent nothing', undefined, 0],
    ])('settle() does nothing when it is called again, having %s', (_, count, expected) => {
      const { ledger } = aLedger();
      const reservation = ledger.reserve('ann', 'llama', tokens(100, 50));
      const spent = count && { ...count, estimated: false };
      reservation.settle(spent);
      reservation.settle({ ...tokens(1000, 1000), estimated: true });
      reservation.settle(undefined);
      expect(ledger.weighted('ann', 'llama')).toBe(expected);
    });

    it('does not leave with the window, and is charged to the slot of its end', () => {
      const { clock, ledger } = aLedger();
      const reservation = ledger.reserve('ann', 'llama', tokens(100, 0));
      clock.advance(60 * minuteMs);
      expect(ledger.weighted('ann', 'llama')).toBe(100);
      reservation.settle({ ...tokens(80, 0), estimated: false });
      clock.advance(5 * minuteMs);
      expect(ledger.weighted('ann', 'llama')).toBe(80);
    });
  });

  describe('memory', () => {
    it('gives up entries that left the window, a few with each call', () => {
      const { clock, ledger } = aLedger();
      for (let i = 0; i < 50; i++) charge(ledger, `user-${i}`, `model-${i % 3}`, tokens(1, 1));
      clock.advance(6 * minuteMs);
      for (let i = 0; i < 30; i++) charge(ledger, 'ann', 'llama', tokens(1, 1));
      expect(ledger.list(100).map(({ principal }) => principal)).toEqual(['ann']);
      expect([ledger.size, ledger.evictions]).toEqual([1, 0]);
    });

    it('size counts no entries that left the window, without any call', () => {
      const { clock, ledger } = aLedger();
      for (let i = 0; i < 50; i++) charge(ledger, `user-${i}`, 'llama', tokens(1, 1));
      expect(ledger.size).toBe(50);
      clock.advance(6 * minuteMs);
      expect(ledger.size).toBe(0);
    });

    it('a long request does not keep the entries of others', () => {
      const { clock, ledger } = aLedger();
      ledger.reserve('ann', 'llama', tokens(1, 1));
      for (let i = 0; i < 50; i++) charge(ledger, `user-${i}`, 'llama', tokens(1, 1));
      clock.advance(6 * minuteMs);
      expect(ledger.size).toBe(1);
    });

    it('beyond the cap forgets who is idle longest', () => {
      const { clock, ledger } = aLedger({ maxEntries: 3 });
      for (const principal of ['ann', 'bob', 'eve']) {
        charge(ledger, principal, 'llama', tokens(1, 0));
        clock.advance(1000);
      }
      charge(ledger, 'ann', 'llama', tokens(1, 0));
      ledger.weighted('bob', 'llama');
      charge(ledger, 'joe', 'llama', tokens(1, 0));
      expect(['ann', 'bob', 'eve', 'joe'].map((principal) => ledger.weighted(principal, 'llama'))).toEqual([
        2, 0, 1, 1,
      ]);
      expect([ledger.size, ledger.evictions]).toEqual([3, 1]);
    });

    it('beyond the cap keeps reservations, as long as somebody has none', () => {
      const { ledger } = aLedger({ maxEntries: 2 });
      const first = ledger.reserve('ann', 'llama', tokens(1, 0));
      charge(ledger, 'bob', 'llama', tokens(1, 0));
      const second = ledger.reserve('eve', 'llama', tokens(1, 0));
      expect(['ann', 'bob', 'eve'].map((principal) => ledger.weighted(principal, 'llama'))).toEqual([
        1, 0, 1,
      ]);

      ledger.reserve('joe', 'llama', tokens(1, 0));
      expect(['ann', 'eve', 'joe'].map((principal) => ledger.weighted(principal, 'llama'))).toEqual([
        0, 1, 1,
      ]);

      // A reservation of a forgotten entry takes nothing from a new entry of the same name, and is charged all the same.
      ledger.reserve('ann', 'llama', tokens(5, 0));
      first.settle({ ...tokens(100, 0), estimated: false });
      expect(ledger.weighted('ann', 'llama')).toBe(105);
      second.settle(undefined);
      expect([ledger.size, ledger.evictions]).toEqual([2, 3]);
    });
  });

  describe('list()', () => {
    it('shows who weighs most first, with what is reserved apart', () => {
      const { ledger } = aLedger({ cachedTokenWeight: 0.5 });
      charge(ledger, 'ann', 'llama', tokens(10, 0, 4));
      charge(ledger, 'bob', 'llama', tokens(10, 10), true);
      ledger.reserve('eve', 'qwen', tokens(500, 1));
      charge(ledger, 'joe', 'llama', tokens(1, 0));
      expect(ledger.list(3)).toEqual([
        {
          principal: 'eve',
          model: 'qwen',
          inputTokens: 0,
          cachedInputTokens: 0,
          outputTokens: 0,
          requests: 0,
          estimatedTokens: 0,
          reserved: { ...tokens(500, 1), requests: 1, estimatedTokens: 0 },
          weightedTokens: 502,
        },
        {
          principal: 'bob',
          model: 'llama',
          inputTokens: 10,
          cachedInputTokens: 0,
          outputTokens: 10,
          requests: 1,
          estimatedTokens: 20,
          reserved: { ...nothing, requests: 0, estimatedTokens: 0 },
          weightedTokens: 30,
        },
        {
          principal: 'ann',
          model: 'llama',
          inputTokens: 10,
          cachedInputTokens: 4,
          outputTokens: 0,
          requests: 1,
          estimatedTokens: 0,
          reserved: { ...nothing, requests: 0, estimatedTokens: 0 },
          weightedTokens: 8,
        },
      ]);
    });
  });

  it('totals() counts by model since the start, whatever left the window', () => {
    const { clock, ledger } = aLedger();
    charge(ledger, 'ann', 'llama', tokens(10, 5, 3));
    clock.advance(60 * minuteMs);
    charge(ledger, 'bob', 'llama', tokens(1, 1), true);
    charge(ledger, 'bob', 'qwen', tokens(7, 0));
    expect(Object.fromEntries(ledger.totals())).toEqual({
      llama: { inputTokens: 11, cachedInputTokens: 3, outputTokens: 6, requests: 2, estimatedTokens: 2 },
      qwen: { inputTokens: 7, cachedInputTokens: 0, outputTokens: 0, requests: 1, estimatedTokens: 0 },
    });
  });

  describe('update()', () => {
    it('weighs what is known anew', () => {
      const { ledger } = aLedger();
      charge(ledger, 'ann', 'llama', tokens(100, 10));
      ledger.update({ ...usual, inputTokenWeight: 0.5, outputTokenWeight: 4 });
      expect(ledger.weighted('ann', 'llama')).toBe(90);
    });

    it('with a longer window keeps what is known for longer', () => {
      const { clock, ledger } = aLedger({ windowSizeMs: minuteMs });
      charge(ledger, 'ann', 'llama', tokens(1, 0));
      clock.advance(50_000);
      charge(ledger, 'ann', 'llama', tokens(10, 0));
      ledger.update({ ...usual, windowSizeMs: 10 * minuteMs });
      clock.advance(9 * minuteMs);
      expect(ledger.weighted('ann', 'llama')).toBe(11);
      clock.advance(minuteMs + 21_000);
      expect(ledger.weighted('ann', 'llama')).toBe(0);
    });

    it('with a shorter window lets go of what is older', () => {
      const { clock, ledger } = aLedger({ windowSizeMs: 10 * minuteMs });
      charge(ledger, 'ann', 'llama', tokens(1, 0));
      clock.advance(5 * minuteMs);
      charge(ledger, 'ann', 'llama', tokens(10, 0));
      const reservation = ledger.reserve('ann', 'llama', tokens(100, 0));
      ledger.update({ ...usual, windowSizeMs: minuteMs });
      expect(ledger.weighted('ann', 'llama')).toBe(110);
      reservation.settle({ ...tokens(50, 0), estimated: false });
      clock.advance(minuteMs);
      expect(ledger.weighted('ann', 'llama')).toBe(60);
      clock.advance(11_000);
      expect(ledger.weighted('ann', 'llama')).toBe(0);
    });

    it('with a lower cap forgets who is idle longest', () => {
      const { ledger } = aLedger();
      for (const principal of ['ann', 'bob', 'eve']) charge(ledger, principal, 'llama', tokens(1, 0));
      ledger.update({ ...usual, maxEntries: 1 });
      expect(ledger.list(10).map(({ principal }) => principal)).toEqual(['eve']);
      expect([ledger.size, ledger.evictions]).toEqual([1, 2]);
    });
  });

  it('weighted() and requests() are a naive sum, to the resolution of a slot, whatever happens', () => {
    const windowSizeMs = 60_000;
    const slotMs = 1000;
    const who = fc.record({
      principal: fc.constantFrom('ann', 'bob', 'eve'),
      model: fc.constantFrom('llama', 'qwen'),
    });
    const count = fc
      .record({ inputTokens: fc.nat(1000), cached: fc.nat(100), outputTokens: fc.nat(1000) })
      .map(({ inputTokens, cached, outputTokens }) =>
        tokens(inputTokens, outputTokens, Math.floor((inputTokens * cached) / 100)),
      );
    const step = fc.oneof(
      fc.record({ act: fc.constant('reserve' as const), who, count }),
      fc.record({
        act: fc.constant('settle' as const),
        which: fc.nat(),
        count: fc.option(count, { nil: undefined }),
      }),
      fc.record({ act: fc.constant('wait' as const), forMs: fc.integer({ min: 1, max: 25_000 }) }),
      fc.record({ act: fc.constant('update' as const), inputTokenWeight: fc.integer({ min: 0, max: 5 }) }),
    );

    interface Naive {
      readonly who: { readonly principal: string; readonly model: string };
      readonly expected: TokenCount;
      readonly reservation: Reservation;
      end: { readonly atMs: number; readonly spent: TokenCount | undefined } | undefined;
    }

    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let options: LedgerOptions = { ...usual, windowSizeMs, cachedTokenWeight: 0.5 };
        const clock = new FakeClock();
        const ledger = createLedger({ clock }, options);
        const requests: Naive[] = [];
        for (const next of steps) {
          switch (next.act) {
            case 'reserve': {
              const reservation = ledger.reserve(next.who.principal, next.who.model, next.count);
              requests.push({ who: next.who, expected: next.count, reservation, end: undefined });
              break;
            }
            case 'settle': {
              const request = requests[next.which % requests.length];
              if (request === undefined) break;
              request.reservation.settle(next.count && { ...next.count, estimated: false });
              request.end ??= { atMs: clock.nowMs(), spent: next.count };
              break;
            }
            case 'wait':
              clock.advance(next.forMs);
              break;
            case 'update':
              options = { ...options, inputTokenWeight: next.inputTokenWeight };
              ledger.update(options);
          }
          for (const principal of ['ann', 'bob', 'eve'])
            for (const model of ['llama', 'qwen']) {
              const [least, most] = [windowSizeMs, windowSizeMs + slotMs].map((withinMs) =>
                requests
                  .filter(({ who }) => who.principal === principal && who.model === model)
                  .map(({ expected, end }) => {
                    if (end === undefined) return expected;
                    return clock.nowMs() - end.atMs < withinMs ? end.spent : undefined;
                  })
                  .filter((counted) => counted !== undefined),
              );
              const weigh = (counts: TokenCount[]): number =>
                counts.reduce((sum, counted) => sum + weightedTokens(counted, options), 0);
              const weighted = ledger.weighted(principal, model);
              expect(weighted).toBeGreaterThanOrEqual(weigh(least!) - 1e-6);
              expect(weighted).toBeLessThanOrEqual(weigh(most!) + 1e-6);
              expect(ledger.requests(principal, model)).toBeGreaterThanOrEqual(least!.length);
              expect(ledger.requests(principal, model)).toBeLessThanOrEqual(most!.length);
            }
        }
        for (const { reservation } of requests) reservation.settle(undefined);
        clock.advance(windowSizeMs + slotMs);
        expect([ledger.list(10), ledger.size]).toEqual([[], 0]);
      }),
      { numRuns: 200 },
    );
  });

  describe('replication', () => {
    it('takeChanges() tells all of a slot that changed, once', () => {
      const { clock, ledger } = aLedger();
      const { replication } = ledger;
      charge(ledger, 'ann', 'llama', tokens(10, 5));
      const slot = ledger.slotAt(clock.nowMs());
      expect(replication.takeChanges(10)).toEqual([
        { principal: 'ann', model: 'llama', slot, ...tokens(10, 5), requests: 1, estimatedTokens: 0 },
      ]);
      expect(replication.takeChanges(10)).toEqual([]);
      charge(ledger, 'ann', 'llama', tokens(1, 1), true);
      clock.advance(5000);
      charge(ledger, 'ann', 'llama', tokens(100, 0));
      expect(replication.takeChanges(10).map((change) => [change.slot - slot, change.inputTokens])).toEqual([
        [0, 11],
        [1, 100],
      ]);
      clock.advance(5000);
      charge(ledger, 'ann', 'llama', tokens(7, 0));
      expect(replication.takeChanges(10).map((change) => [change.slot - slot, change.inputTokens])).toEqual([
        [2, 7],
      ]);
    });

    it('takeChanges() takes about as many as asked for, all with later calls', () => {
      const { ledger } = aLedger();
      for (let i = 0; i < 25; i++) charge(ledger, `user-${i}`, 'llama', tokens(i, 0));
      ledger.replication.putBack();
      const taken = [1, 2, 3].map(() => ledger.replication.takeChanges(10));
      expect(taken.map(({ length }) => length)).toEqual([10, 10, 5]);
      expect(new Set(taken.flat().map(({ principal }) => principal)).size).toBe(25);
      expect(ledger.replication.takeChanges(10)).toEqual([]);
    });

    it('putBack() makes takeChanges() tell the whole window again', () => {
      const { clock, ledger } = aLedger();
      for (let i = 0; i < 8; i++) {
        charge(ledger, 'ann', 'llama', tokens(10 ** i, 0));
        clock.advance(minuteMs);
        ledger.replication.takeChanges(10);
      }
      ledger.replication.putBack();
      expect(ledger.replication.takeChanges(10).map(({ inputTokens }) => inputTokens)).toEqual([
        1e3, 1e4, 1e5, 1e6, 1e7,
      ]);
    });

    it('takeChanges() does not tell reservations, nor what other replicas told', () => {
      const { clock, ledger } = aLedger();
      ledger.reserve('ann', 'llama', tokens(1, 1));
      const slot = ledger.slotAt(clock.nowMs());
      const usage = { ...tokens(5, 5), requests: 1, estimatedTokens: 0, slot };
      ledger.replication.addReplica().replace({ principal: 'bob', model: 'llama', ...usage });
      ledger.replication.putBack();
      expect(ledger.replication.takeChanges(10)).toEqual([]);
    });

    it('counts what other replicas told with what was used here', () => {
      const { clock, ledger } = aLedger();
      const [one, two] = [ledger.replication.addReplica(), ledger.replication.addReplica()];
      const ann = { principal: 'ann', model: 'llama', requests: 1, estimatedTokens: 3 };
      const slot = ledger.slotAt(clock.nowMs());
      charge(ledger, 'ann', 'llama', tokens(1, 0));
      expect(one.replace({ ...ann, slot, ...tokens(10, 1) })).toEqual(tokens(10, 1));
      expect(two.replace({ ...ann, slot, ...tokens(100, 0) })).toEqual(tokens(100, 0));
      expect(two.replace({ ...ann, slot, ...tokens(105, 2), requests: 2 })).toEqual(tokens(5, 2));
      expect(two.replace({ ...ann, slot, ...tokens(105, 2), requests: 2 })).toBeUndefined();
      expect([ledger.weighted('ann', 'llama'), ledger.requests('ann', 'llama')]).toEqual([116 + 2 * 3, 4]);
      expect(ledger.list(1)[0]).toMatchObject({ ...tokens(116, 3), requests: 4, estimatedTokens: 6 });
      // Each replica counts its own for its metrics.
      expect(ledger.totals().get('llama')).toMatchObject({ inputTokens: 1 });

      two.drop();
      expect(ledger.weighted('ann', 'llama')).toBe(11 + 2);
      expect(two.replace({ ...ann, slot, ...tokens(999, 0) })).toBeUndefined();
      clock.advance(5 * minuteMs + 5000);
      expect([ledger.weighted('ann', 'llama'), ledger.size]).toEqual([0, 0]);
    });

    it.each([
      ['left the window', -61, false],
      ['is the oldest in the window', -60, true],
      ['is ahead: the wall clock there is', 60, true],
      ['is more than a window ahead', 61, false],
    ])('replace() of a slot that %s', (_, offset, counted) => {
      const { clock, ledger } = aLedger();
      const slot = ledger.slotAt(clock.nowMs()) + offset;
      const usage = {
        principal: 'ann',
        model: 'llama',
        slot,
        ...tokens(5, 0),
        requests: 1,
        estimatedTokens: 0,
      };
      const increment = ledger.replication.addReplica().replace(usage);
      expect([increment?.inputTokens, ledger.weighted('ann', 'llama'), ledger.size]).toEqual(
        counted ? [5, 5, 1] : [undefined, 0, 0],
      );
    });

    it('update() to another window tells everything again, in its slots, and keeps what was told', () => {
      const { clock, ledger } = aLedger({ windowSizeMs: minuteMs });
      const replica = ledger.replication.addReplica();
      const ann = { principal: 'ann', model: 'llama', requests: 1, estimatedTokens: 0 };
      charge(ledger, 'ann', 'llama', tokens(10, 0));
      replica.replace({ ...ann, slot: ledger.slotAt(clock.nowMs()), ...tokens(1, 0) });
      clock.advance(7000);
      charge(ledger, 'ann', 'llama', tokens(100, 0));
      ledger.replication.takeChanges(10);

      ledger.update({ ...usual, windowSizeMs: 10 * minuteMs });
      const slot = ledger.slotAt(clock.nowMs());
      expect(ledger.weighted('ann', 'llama')).toBe(111);
      expect(ledger.replication.windowSizeMs).toBe(10 * minuteMs);
      expect(ledger.replication.takeChanges(10).map((change) => [change.slot, change.inputTokens])).toEqual([
        [slot, 110],
      ]);
      // The other replica put what it had into the same slots.
      expect(replica.replace({ ...ann, slot, ...tokens(1, 0) })).toBeUndefined();
    });

    it('the cap holds for what other replicas tell', () => {
      const { clock, ledger } = aLedger({ maxEntries: 5 });
      const replica = ledger.replication.addReplica();
      const slot = ledger.slotAt(clock.nowMs());
      for (let i = 0; i < 50; i++)
        replica.replace({
          principal: `user-${i}`,
          model: 'llama',
          slot,
          ...tokens(1, 0),
          requests: 1,
          estimatedTokens: 0,
        });
      expect([ledger.size, ledger.evictions]).toEqual([5, 45]);
    });
  });
});
