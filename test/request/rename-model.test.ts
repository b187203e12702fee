import { describe, expect, it } from '@jest/globals';
import { noRenames, renameModel } from '../../src/request/rename-model.ts';

const renames = {
  aliases: new Map([
    ['gpt', 'llama'],
    ['served-alias', 'llama'],
  ]),
  rewrites: new Map([
    ['old', 'llama'],
    ['served-rewrite', 'llama'],
  ]),
};
const snapshot = { models: new Set(['llama', 'served-alias', 'served-rewrite']) };

describe('renameModel()', () => {
  it.each([
    ['a served model', 'llama', 'llama'],
    ['a model that nobody knows', 'gone', 'gone'],
    ['an alias', 'gpt', 'llama'],
    ["an alias of an engine's own name", 'served-alias', 'served-alias'],
    ['a rewrite', 'old', 'llama'],
    ["a rewrite of an engine's own name", 'served-rewrite', 'llama'],
    ['a name in other case', 'GPT', 'GPT'],
    ['a name that every object has', 'constructor', 'constructor'],
  ])('of %s', (_, requested, served) => {
    expect(renameModel(requested, renames, snapshot)).toBe(served);
  });

  it('leaves every name where nothing is configured', () => {
    expect(renameModel('gpt', noRenames, snapshot)).toBe('gpt');
  });
});
