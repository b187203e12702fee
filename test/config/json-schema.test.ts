import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { z } from 'zod';
import {
  configForm,
  configJsonSchema,
  fieldsOf,
  itemsOf,
  schemaAt,
  type JsonSchema,
} from '../../src/config/json-schema.ts';
import { configSchema } from '../../src/config/schema.ts';
import { duration, size } from '../../src/config/units.ts';

const schema = configJsonSchema();

/**
 * What the schema refuses, as zod reads JSON Schema: not one line of code is shared with what wrote it but zod itself.
 * No other validator is at hand.
 */
const validator = z.fromJSONSchema(JSON.parse(JSON.stringify(schema)) as z.core.JSONSchema.JSONSchema);
const accepts = (text: string): boolean => validator.safeParse(parse(text) ?? {}).success;

/** Every field of the schema with its path; `[]` is what is in a list. */
function fields(form: JsonSchema, path = ''): [string, JsonSchema][] {
  const items = itemsOf(form);
  return [
    ...Object.entries(fieldsOf(form)).flatMap(([name, field]): [string, JsonSchema][] => {
      const at = path === '' ? name : `${path}.${name}`;
      const isOurs = [undefined, false].includes(field.additionalProperties as boolean | undefined);
      return [[at, field], ...(isOurs ? fields(field, at) : [])];
    }),
    ...(items === undefined ? [] : fields(items, `${path}[]`)),
  ];
}

describe('configJsonSchema()', () => {
  it('says what it is', () => {
    expect(schema).toMatchObject({
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      $id: 'urn:sluice:configuration',
      title: 'Sluice configuration',
      type: 'object',
      additionalProperties: false,
    });
  });

  it('has every section, and no reference to anywhere', () => {
    expect(Object.keys(schema.properties ?? {})).toEqual(Object.keys(configSchema.shape));
    expect(JSON.stringify(schema)).not.toContain('$ref');
  });

  it('describes every field', () => {
    const found = fields(schema);
    expect(found.length).toBeGreaterThan(50);
    expect(found.filter(([, field]) => (field.description ?? '') === '').map(([path]) => path)).toEqual([]);
  });

  it('has defaults as people write them, and they are accepted', () => {
    expect(schemaAt(schema, 'limits', 'drainTimeout')).toMatchObject({
      type: ['string', 'number'],
      default: '30s',
    });
    expect(schemaAt(schema, 'limits', 'maxBodyBytes')).toMatchObject({
      type: ['string', 'integer'],
      default: '16MiB',
    });
    expect(schemaAt(schema, 'scheduler', 'pluginConfig')).toMatchObject({ type: 'array', default: [] });
    expect(schemaAt(schema, 'discovery', 'static', 'backends', 'items', 'models')).toMatchObject({
      default: [],
    });
    const wrong = fields(schema)
      .filter(([, { default: value }]) => value !== undefined)
      .filter(([, field]) => !z.fromJSONSchema(field).safeParse(field.default).success);
    expect(wrong).toEqual([]);
  });

  it('has choices and ranges', () => {
    expect(schemaAt(schema, 'log', 'format')).toMatchObject({
      enum: ['auto', 'json', 'pretty'],
      default: 'auto',
    });
    expect(schemaAt(schema, 'admin', 'port')).toMatchObject({ type: 'integer', minimum: 0, maximum: 65_535 });
    expect(schemaAt(schema, 'scrape', 'unhealthyAfter')).not.toHaveProperty('maximum');
  });

  it('names plugins, aliases included, and types the arguments of each', () => {
    expect(schemaAt(schema, 'scheduler', 'plugins', 'Filter', 'enabled', 'items')).toMatchObject({
      enum: expect.arrayContaining(['least-request', 'lora-affinity']),
    });
    expect(schemaAt(schema, 'scheduler', 'plugins', 'Score', 'enabled', 'items', 'name')).toMatchObject({
      enum: expect.arrayContaining(['kv-cache', 'gpu-usage', 'random']),
      markdownDescription: expect.stringContaining('- `kv-cache`: Prefers'),
    });
    expect(schemaAt(schema, 'scheduler', 'pluginConfig', 'items')?.oneOf).toContainEqual(
      expect.objectContaining({
        properties: expect.objectContaining({
          name: expect.objectContaining({ enum: ['prefix-cache'] }),
          args: expect.objectContaining({
            properties: expect.objectContaining({
              blockSizeToHash: expect.objectContaining({
                type: 'integer',
                minimum: 1,
                maximum: 65_536,
                default: 64,
              }),
            }),
          }),
        }),
      }),
    );
  });

  it('says what waits for a restart, to programs and to people', () => {
    expect(schemaAt(schema, 'admin')).toMatchObject({
      'x-restart': true,
      description: expect.stringMatching(/ A change takes effect after a restart\.$/),
    });
    expect(schemaAt(configForm(), 'admin')?.description).not.toContain('restart');
    expect(schemaAt(schema, 'limits', 'drainTimeout')).not.toHaveProperty('x-restart');
  });

  it.each([
    ['nothing', ''],
    [
      'the scheduler section of Kthena',
      `scheduler:
  pluginConfig:
  - name: least-request
    args:
      maxWaitingRequests: 10
  - name: least-latency
    args:
      TTFTTPOTWeightFactor: 0.5
  - name: prefix-cache
    args:
      blockSizeToHash: 64
      maxBlocksToMatch: 128
      maxHashCacheSize: 50000
  plugins:
    Filter:
      enabled:
        - least-request
      disabled:
        - lora-affinity
    Score:
      enabled:
        - name: least-request
          weight: 1
        - name: gpu-usage
          weight: 1
      disabled:
        - prefix-cache
        - name: least-latency`,
    ],
    [
      'arguments that are empty',
      'scheduler: {pluginConfig: [{name: kv-cache, args: {}}, {name: random, args: null}]}',
    ],
    ['durations and sizes', 'limits: {drainTimeout: 1m30s, maxBodyBytes: 1.5 MiB}\nscrape: {interval: 0.5}'],
    ['engines', 'discovery: {static: {backends: [{url: "http://a:1", models: [m]}, {url: "https://b"}]}}'],
  ])('accepts %s, as the loader does', (_, text) => {
    expect(configSchema.safeParse(parse(text) ?? {}).success).toBe(true);
    expect(accepts(text)).toBe(true);
  });

  it.each([
    ['a section that does not exist', 'scraping: {}'],
    ['a field that does not exist', 'limits: {maxBodyByte: 1}'],
    ['a port out of range', 'admin: {port: 65536}'],
    ['a fraction for a whole number', 'scheduler: {maxEndpoints: 1.5}'],
    ['a word that is none of the choices', 'log: {format: xml}'],
    ['a duration with a space', 'scrape: {timeout: 5 s}'],
    ['a duration of nothing where one is needed', 'scrape: {timeout: 0}'],
    ['a size in an unknown unit', 'limits: {maxBodyBytes: 1TB}'],
    [
      'a filter among the scorers',
      'scheduler: {plugins: {Score: {enabled: [{name: lora-affinity, weight: 1}]}}}',
    ],
    ['a scorer among the filters', 'scheduler: {plugins: {Filter: {enabled: [prefix-cache]}}}'],
    ['a scorer without a weight', 'scheduler: {plugins: {Score: {enabled: [{name: kv-cache}]}}}'],
    ['arguments of an unknown plugin', 'scheduler: {pluginConfig: [{name: no-such-plugin}]}'],
    [
      'an argument of another plugin',
      'scheduler: {pluginConfig: [{name: least-request, args: {topKMatches: 1}}]}',
    ],
    [
      'an argument out of range',
      'scheduler: {pluginConfig: [{name: prefix-cache, args: {blockSizeToHash: 0}}]}',
    ],
    ['an engine without URL', 'discovery: {static: {backends: [{models: [m]}]}}'],
  ])('refuses %s, as the loader does', (_, text) => {
    expect(configSchema.safeParse(parse(text)).success).toBe(false);
    expect(accepts(text)).toBe(false);
  });

  it.each([
    [
      'drainTimeout',
      duration({ zero: true }),
      ['0', '0s', '1s', '1m30s', '1.5h', '1', 's', '1 s', '-1s', '1d', ''],
    ],
    ['maxBodyBytes', size(), ['1', '1B', '16MiB', '1 KB', '0.5GiB', '-1', 'MiB', '1mib', '1 TB', '']],
  ])('agrees with the loader on what is written for %s', (field, unit, texts) => {
    const { pattern = '' } = schemaAt(schema, 'limits', field) ?? {};
    for (const text of texts)
      expect([text, new RegExp(pattern).test(text)]).toEqual([text, unit.safeParse(text).success]);
  });
});

describe('configForm()', () => {
  it('has defaults behind transformations where the written form can be told', () => {
    const form = configForm(
      z.strictObject({
        wait: duration({ zero: true }).default(90_000),
        list: z.array(z.string().transform((text) => text.length)).default([]),
        lengths: z.array(z.string().transform((text) => text.length)).default([3]),
      }),
    );
    expect(schemaAt(form, 'wait')).toMatchObject({ default: '1m30s', minimum: 0 });
    expect(schemaAt(form, 'list')).toHaveProperty('default', []);
    expect(schemaAt(form, 'lengths')).not.toHaveProperty('default');
  });
});
