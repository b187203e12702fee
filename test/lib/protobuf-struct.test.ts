import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import protobuf from 'protobufjs/minimal.js';
import { readMap, readStruct, writeStruct, type StructValue } from '../../src/lib/protobuf-struct.ts';
import { ProtobufWriter } from '../../src/lib/protobuf-writer.ts';
import { decode, encode } from '../support/proto.ts';

const structType = 'google.protobuf.Struct';

function write(fields: Readonly<Record<string, StructValue>>): Buffer {
  return writeStruct(new ProtobufWriter(), fields).finish();
}

function read(bytes: Uint8Array): Record<string, StructValue> {
  return readStruct(protobuf.Reader.create(bytes), bytes.length);
}

/** Plain data as google.protobuf.Value spells it. */
function toValue(value: StructValue): object {
  if (value === null) return { nullValue: 'NULL_VALUE' };
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { listValue: { values: value.map(toValue) } };
  return { structValue: toStruct(value) };
}

function toStruct(fields: Readonly<Record<string, StructValue>>): object {
  return { fields: Object.fromEntries(Object.entries(fields).map(([key, value]) => [key, toValue(value)])) };
}

const everything = {
  text: 'häß\u0000lich',
  number: -1.5,
  yes: true,
  no: false,
  nothing: null,
  list: [1, 'two', [null], { three: 3 }],
  nested: { deeper: { deepest: 'x' } },
  empty: {},
  none: [],
};

const { struct } = fc.letrec<{ struct: Record<string, StructValue>; value: StructValue }>((tie) => ({
  struct: fc.dictionary(fc.string({ maxLength: 5 }), tie('value'), { maxKeys: 4, noNullPrototype: true }),
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.constant(null),
    fc.boolean(),
    fc.string({ maxLength: 10 }),
    fc.double({ noNaN: true }),
    fc.array(tie('value'), { maxLength: 3 }),
    tie('struct'),
  ),
}));

describe('readStruct()', () => {
  it('reads every kind of value that protobufjs writes', () => {
    expect(read(encode(structType, toStruct(everything)))).toEqual(everything);
  });

  it('reads no bytes as no fields', () => {
    expect(read(Buffer.alloc(0))).toEqual({});
  });

  it('keeps a field called __proto__ a field', () => {
    const fields = read(write(JSON.parse('{"__proto__":{"polluted":true}}') as Record<string, StructValue>));
    expect(Object.keys(fields)).toEqual(['__proto__']);
    expect(fields['polluted']).toBeUndefined();
  });

  it('throws on bytes that are no Struct, and never hangs', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          expect(read(bytes)).toBeInstanceOf(Object);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
      }),
    );
  });
});

describe('writeStruct()', () => {
  it('writes what protobufjs reads', () => {
    const { text, number, yes, nothing, list, nested } = everything;
    expect(decode(structType, write({ text, number, yes, nothing, list, nested }))).toEqual(
      toStruct({ text, number, yes, nothing, list, nested }),
    );
  });

  it('and readStruct() are inverse for any data', () => {
    fc.assert(
      fc.property(struct, (fields) => {
        expect(read(write(fields))).toEqual(fields);
      }),
    );
  });
});

describe('readMap()', () => {
  it('steps over other fields, and over values that the caller leaves', () => {
    const writer = protobuf.Writer.create();
    writer.uint32(16).uint32(7); // field 2, a number
    writer.uint32(10).fork().uint32(10).string('a').uint32(18).bytes(Buffer.from('abc')).ldelim();
    writer.uint32(26).string('field 3');
    writer.uint32(10).fork().uint32(10).string('b').uint32(18).bytes(Buffer.from('d')).ldelim();
    const bytes = writer.finish();
    const reader = protobuf.Reader.create(bytes);
    const entries: [string, string][] = [];
    readMap(reader, bytes.length, 1, (key, end) =>
      entries.push([key, Buffer.from(bytes.subarray(reader.pos, end)).toString()]),
    );
    expect(entries).toEqual([
      ['a', 'abc'],
      ['b', 'd'],
    ]);
    expect(reader.pos).toBe(bytes.length);
  });
});
