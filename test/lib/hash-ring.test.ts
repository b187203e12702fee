import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { HashRing, ringPosition } from '../../src/lib/hash-ring.ts';
import { ringOrder } from '../support/md5-ring.ts';

/** Nodes are numbered from 1. */
function ringOf(names: readonly string[]): HashRing {
  const ring = new HashRing();
  names.forEach((name, i) => ring.join(i + 1, name));
  return ring;
}

const ownerOf = (ring: HashRing, key: string) => ring.nodes[ring.after(key)];

const engines = ['http://engine1.com', 'http://engine2.com', 'http://engine3.com'];
const pods = ['1', '2', '3', '4'].map((n) => `http://10.0.0.${n}:8000`);

describe('ringPosition()', () => {
  it('is the first 52 bits of the MD5', () => {
    expect(ringPosition('')).toBe(0xd41d8cd98f00b);
    expect(ringPosition('日本')).toBe(0x4dbed2e657457);
  });
});

describe('HashRing', () => {
  // What vllm-router answers: owners of the key among two and three engines, three and four pods.
  const cases: [string, number[]][] = [
    ['abc123', [1, 3, 3, 4]],
    ['session2', [1, 1, 3, 3]],
    ['session4', [2, 2, 3, 3]],
    ['user-0', [1, 1, 2, 2]],
    ['user-2', [2, 2, 2, 2]],
    ['', [2, 2, 1, 4]],
    ['日本', [2, 2, 1, 1]],
  ];
  it.each(cases)('after() finds the owner of %j', (key, owners) => {
    const rings = [engines.slice(0, 2), engines, pods.slice(0, 3), pods].map(ringOf);
    expect(rings.map((ring) => ownerOf(ring, key))).toEqual(owners);
  });

  it('after() finds the owner that a ring of 128 bits has', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z0-9.:/-]{1,30}$/), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(names, fc.array(fc.string(), { minLength: 1, maxLength: 20 }), (given, keys) => {
        const ring = ringOf(given);
        for (const key of keys) expect(given[ownerOf(ring, key)! - 1]).toBe(ringOrder(given, key)[0]);
      }),
      { numRuns: 30 },
    );
  });

  it('join() gives the same ring one by one, all at once and in any order', () => {
    const all = ringOf(pods);
    const oneByOne = new HashRing();
    for (const [i, name] of [...pods.entries()].reverse()) {
      oneByOne.join(i + 1, name);
      expect(oneByOne.nodes.length).toBe((4 - i) * 160);
    }
    expect(oneByOne.nodes).toEqual(all.nodes);
  });

  it('join() of a node that is there replaces its points', () => {
    const ring = ringOf([pods[0]!, 'http://10.9.9.9:8000', pods[2]!]);
    expect(ring.nodes.length).toBe(480);
    ring.join(2, pods[1]!);
    expect(ring.nodes).toEqual(ringOf(pods.slice(0, 3)).nodes);
  });

  it('join() moves only the keys that the new node gets', () => {
    const three = ringOf(pods.slice(0, 3));
    const four = ringOf(pods);
    const keys = Array.from({ length: 2000 }, (_, i) => `user-${i}`);
    const moved = keys.filter((key) => ownerOf(three, key) !== ownerOf(four, key));
    expect(moved.length).toBe(485);
    expect(moved.every((key) => ownerOf(four, key) === 4)).toBe(true);
  });

  it('after() is 0 on an empty ring, which has no nodes', () => {
    const ring = new HashRing();
    expect(ring.after('key')).toBe(0);
    expect(ring.nodes.length).toBe(0);
  });
});
