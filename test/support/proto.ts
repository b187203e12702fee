/** Message types of proto/, by full name: the contract that hand-written codecs are held against. */
import protobuf from 'protobufjs';
import { globSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const protoRoot = path.resolve(import.meta.dirname, '../../proto');
const googleRoot = path.dirname(createRequire(import.meta.url).resolve('protobufjs/package.json'));

function loadRoot(): protobuf.Root {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) =>
    path.isAbsolute(target)
      ? target
      : path.join(target.startsWith('google/') ? googleRoot : protoRoot, target);
  root.loadSync(
    globSync('**/*.proto', { cwd: protoRoot }).map((file) => path.join(protoRoot, file)),
    { keepCase: false },
  );
  return root;
}

const root = loadRoot();

/** Encodes a plain object (camelCase fields) as the named message. */
export function encode(type: string, value: object): Buffer {
  const messageType = root.lookupType(type);
  return Buffer.from(messageType.encode(messageType.fromObject(value)).finish());
}

/** Decodes to a plain object: enums as names, bytes as Buffers, absent fields left out. */
export function decode(type: string, bytes: Uint8Array): Record<string, unknown> {
  const messageType = root.lookupType(type);
  return messageType.toObject(messageType.decode(bytes), { enums: String, longs: Number });
}
