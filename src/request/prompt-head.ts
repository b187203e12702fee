/**
 * Renders the head of a prompt, in the order in which engines put it together, so that requests whose prompts begin alike
 * have heads that begin alike.
 *
 * Chat is `<|im_start|>{role}\n{content}<|im_end|>\n` for each message. Before it comes what changes the engine's prompt or
 * its cache from the first token on: the cache salt, and the tools, which chat templates put first. Parts that are not text
 * (images, audio, tool calls and results) are not rendered but sampled: their raw JSON, shortened in the middle, with its
 * length. So two requests that differ only in an image do not look the same, and a screenshot does not use up the head.
 */
import type { SearchableBytes } from './byte-search.ts';
import { HeadWriter } from './head-writer.ts';
import { JsonCursor } from './json-cursor.ts';
import type { JsonSpan } from './json-scanner.ts';
import type { Api } from './parsed-request.ts';

/** The top-level fields that make up a prompt. */
export const promptFields = [
  'cache_salt',
  'tools',
  'system',
  'instructions',
  'messages',
  'input',
  'prompt',
] as const;

export interface Prompt {
  readonly head: Uint8Array;
  /** Bytes of prompt text in the whole body, escapes undecoded, inline media left out. */
  readonly bytes: number;
}

type Fields = ReadonlyMap<string, JsonSpan>;

/** How much of a value is walked to find what belongs to the head: a bound on time, far beyond any head. */
const maxWalkBytes = 1 << 20;
/** A sampled value is written whole up to this many bytes; a longer one shows half as many at each end. */
const sampleBytes = 1024;
const opening = Buffer.from('<|im_start|>');
const closing = Buffer.from('<|im_end|>\n');
const newline = Buffer.from('\n');
const noPrompt: Prompt = { head: new Uint8Array(0), bytes: 0 };

/** The prompt of a body whose structure was checked. Its head has at most `maxHeadBytes`, and may end inside a character. */
export function renderPrompt(
  api: Api,
  fields: Fields,
  search: SearchableBytes,
  maxHeadBytes: number,
): Prompt {
  const source = promptSource(api, fields);
  if (source === undefined) return noPrompt;
  const leading =
    api === 'messages' ? fields.get('system') : api === 'responses' ? fields.get('instructions') : undefined;
  const tools = source.chat ? fields.get('tools') : undefined;
  const bytes =
    textBytes(source.span, search) + (leading?.textBytes ?? 0) + (tools ? tools.end - tools.start : 0);
  if (maxHeadBytes === 0) return { head: noPrompt.head, bytes };

  const writer = new HeadWriter(Math.min(maxHeadBytes, search.bytes.length + 256));
  const salt = fields.get('cache_salt');
  if (salt && startsWith(search, salt, 0x22))
    writeSample(writer, '<|cache_salt|>', search.bytes, salt.start, salt.end);
  if (tools && startsWith(search, tools, 0x5b))
    writeSample(writer, '<|tools|>', search.bytes, tools.start, tools.end);
  if (leading && !startsWith(search, leading, 0x6e)) {
    openMessage(writer, api === 'messages' ? 'system' : 'developer');
    writeContent(writer, cursorAt(search, leading));
    closeMessage(writer);
  }
  const cursor = cursorAt(search, source.span);
  if (!source.chat) writeFirstPrompt(writer, cursor);
  else if (cursor.peek() === 0x5b) writeMessages(writer, cursor);
  else writeUserText(writer, cursor);
  return { head: writer.bytes, bytes };
}

function promptSource(
  api: Api,
  fields: Fields,
): { readonly span: JsonSpan; readonly chat: boolean } | undefined {
  if (api === 'by-model') return undefined;
  const plain =
    api === 'completions' ? fields.get('prompt') : api === 'embeddings' ? fields.get('input') : undefined;
  if (plain !== undefined) return { span: plain, chat: false };
  // vLLM embeds chats as well: `messages` in place of `input`.
  const span =
    api === 'responses' ? fields.get('input') : api === 'completions' ? undefined : fields.get('messages');
  return span && { span, chat: true };
}

/** Token ids are not text: a token stands for about four bytes of it, and takes about as much room when written out. */
function textBytes(span: JsonSpan, search: SearchableBytes): number {
  return span.textBytes > 0 || !startsWith(search, span, 0x5b) ? span.textBytes : span.end - span.start;
}

function startsWith(search: SearchableBytes, span: JsonSpan, byte: number): boolean {
  return search.bytes[span.start] === byte;
}

function cursorAt(search: SearchableBytes, span: JsonSpan): JsonCursor {
  return new JsonCursor(search, span.start, Math.min(span.end, span.start + maxWalkBytes));
}

function openMessage(writer: HeadWriter, role: string): void {
  writer.ascii(`<|im_start|>${role}\n`);
}

function closeMessage(writer: HeadWriter): void {
  writer.raw(closing, 0, closing.length);
}

/** A string, or the first of a list of strings, or token ids, or the first of a list of lists of them. */
function writeFirstPrompt(writer: HeadWriter, cursor: JsonCursor): void {
  if (cursor.peek() !== 0x5b) {
    writeText(writer, cursor);
    return;
  }
  const list = cursor.position;
  cursor.enter();
  if (!cursor.nextElement()) return;
  const first = cursor.peek();
  if (first === 0x22 || first === 0x5b) {
    writeFirstPrompt(writer, cursor);
  } else {
    cursor.position = list;
    writeTokens(writer, cursor);
  }
}

/** Token ids, each followed by a comma: how the client spaced them makes no difference. */
function writeTokens(writer: HeadWriter, cursor: JsonCursor): void {
  cursor.enter();
  while (!writer.full && cursor.nextElement()) {
    const start = cursor.position;
    writer.raw(cursor.search.bytes, start, cursor.skip());
    writer.ascii(',');
  }
}

function writeUserText(writer: HeadWriter, cursor: JsonCursor): void {
  openMessage(writer, 'user');
  writeText(writer, cursor);
  closeMessage(writer);
}

function writeMessages(writer: HeadWriter, cursor: JsonCursor): void {
  cursor.enter();
  while (!writer.full && cursor.nextElement()) {
    const first = cursor.peek();
    if (first === 0x7b) writeMessage(writer, cursor);
    else if (first === 0x22) writeUserText(writer, cursor);
    else cursor.skip();
  }
}

/** A message of the chat APIs, or an item of the responses API: those without content (tool calls and results) are sampled. */
function writeMessage(writer: HeadWriter, cursor: JsonCursor): void {
  const { bytes } = cursor.search;
  const start = cursor.position;
  let roleWritten = false;
  let contentWritten = false;
  let earlyContent = -1;
  let calls: { readonly start: number; readonly end: number } | undefined;
  writer.raw(opening, 0, opening.length);
  cursor.enter();
  while (!writer.full && cursor.nextMember()) {
    if (cursor.keyIs('role') && !roleWritten) {
      writeText(writer, cursor);
      writer.raw(newline, 0, 1);
      roleWritten = true;
    } else if (cursor.keyIs('content') && roleWritten) {
      // The usual order: the role first. What follows the content is looked for only while there is room for it.
      writeContent(writer, cursor);
      contentWritten = true;
    } else {
      const valueStart = cursor.position;
      const valueEnd = cursor.skip();
      if (cursor.keyIs('content')) earlyContent = valueStart;
      if (cursor.keyIs('tool_calls') && bytes[valueStart] === 0x5b)
        calls = { start: valueStart, end: valueEnd };
    }
  }
  if (!roleWritten) writer.raw(newline, 0, 1);
  if (earlyContent >= 0 && !contentWritten) writeContent(writer, cursor.at(earlyContent));
  else if (!contentWritten) writeSample(writer, '<|item|>', bytes, start, cursor.position);
  if (calls !== undefined) writeSample(writer, '<|tool_calls|>', bytes, calls.start, calls.end);
  closeMessage(writer);
}

/** Text, or parts joined by newlines. */
function writeContent(writer: HeadWriter, cursor: JsonCursor): void {
  if (cursor.peek() !== 0x5b) {
    writeText(writer, cursor);
    return;
  }
  cursor.enter();
  for (let index = 0; !writer.full && cursor.nextElement(); index++) {
    if (index > 0) writer.raw(newline, 0, 1);
    if (cursor.peek() === 0x7b) writePart(writer, cursor);
    else writeText(writer, cursor);
  }
}

const textTypes: ReadonlySet<string> = new Set(['"text"', '"input_text"', '"output_text"']);

/** The text of a text part (also of one that does not say its type); a sample of any other. */
function writePart(writer: HeadWriter, cursor: JsonCursor): void {
  const { bytes } = cursor.search;
  const start = cursor.position;
  let isText: boolean | undefined;
  let written = false;
  let earlyText = -1;
  cursor.enter();
  while (!writer.full && cursor.nextMember()) {
    if (cursor.keyIs('text') && isText === true && cursor.peek() === 0x22) {
      writeText(writer, cursor);
      written = true;
      continue;
    }
    const valueStart = cursor.position;
    const valueEnd = cursor.skip();
    if (cursor.keyIs('type'))
      isText = textTypes.has(bytes.toString('latin1', valueStart, Math.min(valueEnd, valueStart + 16)));
    if (cursor.keyIs('text') && bytes[valueStart] === 0x22) earlyText = valueStart;
  }
  if (written) return;
  if (earlyText >= 0 && isText !== false) writeText(writer, cursor.at(earlyText));
  else writeSample(writer, '<|part|>', bytes, start, cursor.position);
}

/** The string at the cursor, decoded; anything else is passed over. */
function writeText(writer: HeadWriter, cursor: JsonCursor): void {
  if (cursor.peek() === 0x22)
    cursor.position = writer.jsonText(cursor.search, cursor.position + 1, cursor.end) + 1;
  else cursor.skip();
}

function writeSample(writer: HeadWriter, marker: string, bytes: Buffer, start: number, end: number): void {
  writer.ascii(marker);
  if (end - start <= sampleBytes) {
    writer.raw(bytes, start, end);
  } else {
    writer.raw(bytes, start, start + sampleBytes / 2);
    writer.ascii(`<|${end - start} bytes|>`);
    writer.raw(bytes, end - sampleBytes / 2, end);
  }
  writer.raw(newline, 0, 1);
}
