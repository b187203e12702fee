import { describe, expect, it } from '@jest/globals';
import { createModelAccess } from '../../src/auth/model-access.ts';
import { anonymous, type Principal } from '../../src/auth/principal.ts';

const member = (...groups: string[]): Principal => ({ ...anonymous, groups });

const mayCall = createModelAccess({
  research: ['llama-3', 'qwen-*'],
  ops: ['*'],
  none: [],
  '*': ['small'],
});

describe('createModelAccess()', () => {
  it.each<[string[], string, boolean]>([
    [['research'], 'llama-3', true],
    [['research'], 'llama-3.1', false],
    [['research'], 'Llama-3', false],
    [['research'], 'qwen-7b', true],
    [['research'], 'qwen-', true],
    [['research'], 'qwen', false],
    [['research'], 'small', true],
    [['other', 'research'], 'llama-3', true],
    [['ops'], 'anything', true],
    [['none'], 'llama-3', false],
    [['none'], 'small', true],
    [[], 'small', true],
    [[], 'llama-3', false],
    [['toString'], 'llama-3', false],
  ])('says of %j and %s: %p', (groups, model, may) => {
    expect(mayCall(member(...groups), model)).toBe(may);
  });

  it('lets nobody be everybody by the name of a group', () => {
    const onlyGroup = createModelAccess({ '*': ['small'] });
    expect(onlyGroup(member('*'), 'llama-3')).toBe(false);
  });

  it('lets all call all where nothing is said, and nobody anything where nothing is listed', () => {
    expect(createModelAccess(undefined)(anonymous, 'm')).toBe(true);
    expect(createModelAccess({})(member('ops'), 'm')).toBe(false);
  });
});
