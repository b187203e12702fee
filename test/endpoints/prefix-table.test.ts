import { describe, expect, it } from '@jest/globals';
import { PrefixTable } from '../../src/endpoints/prefix-table.ts';
import { BlockHasher, type BlockChain } from '../../src/lib/block-hash.ts';

/** A chain of blocks, one for each letter. */
function chainOf(text: string): BlockChain {
  const hasher = new BlockHasher(1, 64, 1);
  hasher.hash('m', new TextEncoder().encode(text));
  return hasher;
}

function depthOf(table: PrefixTable, text: string, slot: number): number {
  return table.match(chainOf(text), [{ slot }], 1, new Float64Array(1));
}

const roomy = { maxEntries: 100, maxEntriesPerEndpoint: 100 };

/** Endpoint 0 was sent abc, then xy; endpoint 1 was sent abc. */
function filled(): PrefixTable {
  const table = new PrefixTable(roomy);
  table.insert(0, chainOf('abc'));
  table.insert(0, chainOf('xy'));
  table.insert(1, chainOf('abc'));
  return table;
}

describe('PrefixTable', () => {
  it('copyOlder() adds what is older, from the newest on, and says when there is no more', () => {
    const source = filled();
    const [cursor] = source.cursors();
    const table = new PrefixTable(roomy);
    table.insert(0, chainOf('new'));
    const said: string[] = [];
    const depths: number[][] = [];
    for (let i = 0; i < 3; i++) {
      said.push(table.copyOlder(source, cursor!, 2));
      depths.push([depthOf(table, 'xy', 0), depthOf(table, 'abc', 0), cursor!.read]);
    }
    expect(said).toEqual(['more', 'more', 'end']);
    expect(depths).toEqual([
      [2, 0, 2],
      [2, 2, 4],
      [2, 3, 5],
    ]);
    expect([table.size, depthOf(table, 'abc', 1)]).toEqual([8, 0]);
    // What was copied last is the first to go.
    table.limitEndpoints(6);
    table.insert(1, chainOf(''));
    expect([depthOf(table, 'new', 0), depthOf(table, 'xy', 0), depthOf(table, 'abc', 0)]).toEqual([3, 2, 1]);
  });

  it('copyOlder() leaves what is here in its place', () => {
    const source = filled();
    const table = new PrefixTable(roomy);
    table.insert(0, chainOf('abc'));
    table.copyOlder(source, source.cursors()[0]!, 10);
    expect(table.size).toBe(5);
    table.limitEndpoints(3);
    table.insert(1, chainOf(''));
    expect([depthOf(table, 'abc', 0), depthOf(table, 'xy', 0)]).toEqual([3, 0]);
  });

  it('copyOlder() ends at the bound of the endpoint, and where it was forgotten', () => {
    const source = filled();
    const [first, second] = source.cursors();
    const table = new PrefixTable({ maxEntries: 100, maxEntriesPerEndpoint: 3 });
    expect(table.copyOlder(source, first!, 10)).toBe('end');
    expect([first!.read, depthOf(table, 'xy', 0), depthOf(table, 'abc', 0)]).toEqual([3, 2, 1]);
    source.forget(1);
    expect(table.copyOlder(source, second!, 10)).toBe('end');
    expect([table.size, table.evictions]).toEqual([3, 0]);
  });

  it('copyOlder() is full where no more entries have room, those of forgotten endpoints aside', () => {
    const source = filled();
    const table = new PrefixTable({ maxEntries: 4, maxEntriesPerEndpoint: 4 });
    table.insert(5, chainOf('123'));
    table.forget(5);
    const [first] = source.cursors();
    expect(table.copyOlder(source, first!, 10)).toBe('full');
    expect([first!.read, table.size, table.evictions]).toEqual([4, 4, 0]);
  });

  it('cursors() has none for endpoints that hold nothing or were forgotten', () => {
    const table = filled();
    table.insert(2, chainOf(''));
    table.forget(0);
    expect(table.cursors().map(({ owner }) => owner.slot)).toEqual([1]);
  });

  it('limitEndpoints() costs those above the bound a few entries with each insertion', () => {
    const table = new PrefixTable(roomy);
    const text = 'x'.repeat(60);
    table.insert(0, chainOf(text));
    table.insert(1, chainOf('abc'));
    table.limitEndpoints(10);
    expect([table.size, table.evictions]).toEqual([63, 0]);
    table.insert(1, chainOf(''));
    expect([depthOf(table, text, 0), table.evictions]).toEqual([28, 32]);
    table.insert(1, chainOf(''));
    expect([depthOf(table, text, 0), depthOf(table, 'abc', 1), table.evictions]).toEqual([10, 3, 50]);
  });

  it('limitEndpoints() with more room takes back a lower bound', () => {
    const table = filled();
    table.limitEndpoints(1);
    table.limitEndpoints(100);
    table.insert(1, chainOf('abcd'));
    expect([table.size, table.evictions]).toEqual([9, 0]);
  });
});
