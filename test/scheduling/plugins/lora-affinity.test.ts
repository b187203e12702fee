import { describe, expect, it } from '@jest/globals';
import { loraAffinityFilter } from '../../../src/scheduling/plugins/lora-affinity.ts';
import { anEndpoint, aRequest } from '../../support/endpoints.ts';
import { fakeDeps } from '../../support/scoring.ts';

function listing(...ids: string[]) {
  return new Map(ids.map((id) => [id, { id, parent: undefined, maxModelLen: undefined }]));
}

describe('lora-affinity filter', () => {
  const cases: [string, Parameters<typeof anEndpoint>[1], boolean][] = [
    ['keeps who lists the adapter', { listedModels: listing('base', 'sql-lora') }, true],
    ['removes who does not', { listedModels: listing('base') }, false],
    ['removes who lists nothing', { listedModels: listing() }, false],
    [
      'believes the engine more than the operator',
      { listedModels: listing('base'), configuredModels: ['sql-lora'] },
      false,
    ],
    ['believes the operator until the engine answers', { configuredModels: ['sql-lora'] }, true],
    ['removes who is known to serve nothing', {}, false],
  ];
  it.each(cases)('keep() %s', (_, known, kept) => {
    const filter = loraAffinityFilter.create({}, fakeDeps);
    expect(filter.keep(aRequest('', { model: 'sql-lora' }), anEndpoint(0, known))).toBe(kept);
  });
});
