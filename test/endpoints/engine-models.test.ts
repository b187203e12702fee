import { describe, expect, it } from '@jest/globals';
import { parseModels } from '../../src/endpoints/engine-models.ts';

describe('parseModels()', () => {
  it('reads base models and adapters', () => {
    const body = JSON.stringify({
      object: 'list',
      data: [
        {
          id: 'base',
          object: 'model',
          root: '/models/base',
          parent: null,
          max_model_len: 8192,
          permission: [],
        },
        { id: 'adapter', object: 'model', parent: 'base' },
      ],
    });
    expect(parseModels(Buffer.from(body))).toEqual([
      { id: 'base', parent: undefined, maxModelLen: 8192 },
      { id: 'adapter', parent: 'base', maxModelLen: undefined },
    ]);
  });

  it('skips entries without a name', () => {
    const body = '{"data":[{"id":""},{"id":7},null,"m",{"id":"m","parent":3,"max_model_len":"big"}]}';
    expect(parseModels(Buffer.from(body))).toEqual([{ id: 'm', parent: undefined, maxModelLen: undefined }]);
  });

  it('accepts an empty list', () => {
    expect(parseModels(Buffer.from('{"data":[]}'))).toEqual([]);
  });

  it.each(['', 'null', '[]', '{}', '{"data":{}}', '<html>', '{"data":['])('refuses %j', (body) => {
    expect(parseModels(Buffer.from(body))).toBeUndefined();
  });
});
