/** google.protobuf.Struct to plain objects and back, on protobufjs' reader and our writer. */
import type protobuf from 'protobufjs/minimal.js';
import type { ProtobufWriter } from './protobuf-writer.ts';

type Reader = protobuf.Reader;

/** Plain data that a Struct can hold. */
export type StructValue = string | number | boolean | null | StructValue[] | { [key: string]: StructValue };

/** Reads a Struct that ends at `end`. */
export function readStruct(reader: Reader, end: number): Record<string, StructValue> {
  const fields: Record<string, StructValue> = {};
  readMap(reader, end, 1, (key, valueEnd) => {
    const value = readValue(reader, valueEnd);
    // Assigning to this key would replace the prototype.
    if (key === '__proto__') Object.defineProperty(fields, key, { value, enumerable: true });
    else fields[key] = value;
  });
  return fields;
}

/** Reads `map<string, message>` field number `field` of the message that ends at `end`. */
export function readMap(
  reader: Reader,
  end: number,
  field: number,
  onEntry: (key: string, valueEnd: number) => void,
): void {
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag >>> 3 !== field || (tag & 7) !== 2) {
      reader.skipType(tag & 7);
      continue;
    }
    readMapEntry(reader, reader.uint32() + reader.pos, onEntry);
  }
}

/** Reads one map entry that ends at `end`; the key comes first, as every encoder in use writes it. */
export function readMapEntry(
  reader: Reader,
  end: number,
  onEntry: (key: string, valueEnd: number) => void,
): void {
  let key = '';
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) {
      key = reader.string();
    } else if (tag === 18) {
      const valueEnd = reader.uint32() + reader.pos;
      onEntry(key, valueEnd);
      reader.pos = valueEnd;
    } else {
      reader.skipType(tag & 7);
    }
  }
}

function readValue(reader: Reader, end: number): StructValue {
  let value: StructValue = null;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag >>> 3) {
      case 2:
        value = reader.double();
        break;
      case 3:
        value = reader.string();
        break;
      case 4:
        value = reader.bool();
        break;
      case 5:
        value = readStruct(reader, reader.uint32() + reader.pos);
        break;
      case 6:
        value = readList(reader, reader.uint32() + reader.pos);
        break;
      default:
        reader.skipType(tag & 7);
    }
  }
  return value;
}

function readList(reader: Reader, end: number): StructValue[] {
  const values: StructValue[] = [];
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) values.push(readValue(reader, reader.uint32() + reader.pos));
    else reader.skipType(tag & 7);
  }
  return values;
}

/** Writes the fields of a Struct into the message that is open. */
export function writeStruct(
  writer: ProtobufWriter,
  fields: Readonly<Record<string, StructValue>>,
): ProtobufWriter {
  for (const key in fields) {
    writer.begin(10).string(10, key).begin(18);
    writeValue(writer, fields[key]!);
    writer.end().end();
  }
  return writer;
}

function writeValue(writer: ProtobufWriter, value: StructValue): void {
  if (typeof value === 'string') writer.string(26, value);
  else if (typeof value === 'number') writer.double(17, value);
  else if (typeof value === 'boolean') writer.uint(32, value ? 1 : 0);
  else if (value === null) writer.uint(8, 0);
  else if (Array.isArray(value)) {
    writer.begin(50);
    for (const item of value) {
      writer.begin(10);
      writeValue(writer, item);
      writer.end();
    }
    writer.end();
  } else {
    writeStruct(writer.begin(42), value).end();
  }
}
