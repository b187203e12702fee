/** google.protobuf.Struct to plain objects and back, on protobufjs' reader and writer. */
import type protobuf from 'protobufjs/minimal.js';

type Reader = protobuf.Reader;
type Writer = protobuf.Writer;

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

/** Writes the fields of a Struct whose values are strings, numbers, booleans or such objects. */
export function writeStruct(writer: Writer, fields: Readonly<Record<string, StructValue>>): Writer {
  for (const key in fields) {
    writer.uint32(10).fork().uint32(10).string(key).uint32(18).fork();
    writeValue(writer, fields[key]!);
    writer.ldelim().ldelim();
  }
  return writer;
}

function writeValue(writer: Writer, value: StructValue): void {
  if (typeof value === 'string') writer.uint32(26).string(value);
  else if (typeof value === 'number') writer.uint32(17).double(value);
  else if (typeof value === 'boolean') writer.uint32(32).bool(value);
  else if (value === null) writer.uint32(8).int32(0);
  else if (Array.isArray(value)) {
    writer.uint32(50).fork();
    for (const item of value) {
      writer.uint32(10).fork();
      writeValue(writer, item);
      writer.ldelim();
    }
    writer.ldelim();
  } else {
    writeStruct(writer.uint32(42).fork(), value).ldelim();
  }
}
