/** The real `openai` Python client, as `make test` installs it. */
import { accessSync } from 'node:fs';
import path from 'node:path';
import { startChild } from './child.ts';

const root = path.resolve(import.meta.dirname, '../..');
const python = path.join(root, '.venv/bin/python');

/** What the client saw. */
export interface StreamsSeen {
  readonly streams: number;
  /** Chunks with text. */
  readonly tokens: number;
  /** Chunks that told a usage, and chunks without a choice. */
  readonly usageChunks: number;
  readonly emptyChunks: number;
}

/** Streams so many chats through a gateway, one after another: of 5 tokens, of 6, of 7 … */
export async function streamChats(url: string, count: number, user: string): Promise<StreamsSeen> {
  try {
    accessSync(python);
  } catch (cause) {
    throw new Error(
      'Cannot run this test without the openai Python client; run `make test`, which installs it',
      {
        cause,
      },
    );
  }
  const script = path.join(import.meta.dirname, 'python/stream_chats.py');
  const child = startChild(python, [script, url, String(count), user]);
  const { code } = await child.exited;
  if (code === 0) return JSON.parse(child.lines.at(-1) ?? '') as StreamsSeen;
  if (child.stderr.includes("No module named 'openai'"))
    throw new Error(
      'Cannot run this test without the openai Python client; run `make test`, which installs it',
    );
  throw new Error(`The openai Python client failed:\n${child.stderr}`);
}
