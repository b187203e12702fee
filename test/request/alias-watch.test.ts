import { describe, expect, it } from '@jest/globals';
import { createAliasWatch } from '../../src/request/alias-watch.ts';

function aliases(...pairs: [string, string][]) {
  return { aliases: new Map(pairs), rewrites: new Map([['r', 'm']]) };
}

function serving(...models: string[]) {
  return { models: new Set(models) };
}

function setUp() {
  const told: string[] = [];
  return { told, watch: createAliasWatch((alias, target) => told.push(`${alias} → ${target}`)) };
}

describe('createAliasWatch()', () => {
  it('tells once of an alias that an engine serves itself', () => {
    const { told, watch } = setUp();
    const configured = aliases(['a', 'm'], ['b', 'm']);
    watch(configured, serving('m', 'r'));
    expect(told).toEqual([]);
    watch(configured, serving('m', 'a'));
    watch(configured, serving('m', 'a', 'x'));
    expect(told).toEqual(['a → m']);
    watch(configured, serving('m', 'a', 'b'));
    expect(told).toEqual(['a → m', 'b → m']);
  });

  it('tells again after the engine had ceased to', () => {
    const { told, watch } = setUp();
    for (const models of [['a'], [], ['a']]) watch(aliases(['a', 'm']), serving(...models));
    expect(told).toEqual(['a → m', 'a → m']);
  });

  it('sees a new configuration', () => {
    const { told, watch } = setUp();
    watch(aliases(), serving('a'));
    watch(aliases(['a', 'm']), serving('a'));
    expect(told).toEqual(['a → m']);
  });
});
