/** How many tokens an exchange used, read from the response as it passes or from Envoy's metadata. */
import { SearchableBytes } from './byte-search.ts';
import { JsonCursor } from './json-cursor.ts';
import { JsonFieldCapture } from './json-field-capture.ts';
import type { Api } from './parsed-request.ts';
import { SseScanner } from './sse-scanner.ts';

export interface TokenUsage {
  /** The whole prompt, cached tokens included. */
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** How many of the input tokens came from the engine's prefix cache, where it says so. */
  readonly cachedInputTokens: number | undefined;
}

/** Where usage came from. */
export type UsageSource = 'access-log' | 'streamed' | 'none';

/** Reads one response body. Feed it every chunk, then call `end`. It never throws, whatever the engine sends. */
export interface UsageReader {
  push(chunk: Buffer): void;
  end(): void;
  /**
   * What the response said of its usage so far; of several accounts the last. Where the events go on after it, as many
   * output tokens at least as events with output: some APIs give an account at the start.
   */
  readonly usage: TokenUsage | undefined;
  /**
   * The event stream reached its own end: `[DONE]` or the chunk with the usage alone, `message_stop`, or a terminal event
   * of the responses API.
   */
  readonly done: boolean;
  /** Events that carried output: a lower bound of output tokens. Undefined where no events are read. */
  readonly outputChunks: number | undefined;
  readonly sawFirstToken: boolean;
  /** Why nothing can be read, where that is so. */
  readonly unreadable: string | undefined;
}

/** The reader for a response's API, content type and content encoding. */
export function createUsageReader(
  api: Api,
  contentType: string,
  contentEncoding: string | undefined,
): UsageReader {
  if (isCompressed(contentEncoding)) return unreadable(`the response is compressed (${contentEncoding})`);
  const mediaType = mediaTypeOf(contentType);
  if (mediaType === eventStream) return new EventStreamReader(api);
  if (mediaType === 'application/json') return jsonReader();
  return unreadable(mediaType === '' ? 'the response has no content type' : `the response is ${mediaType}`);
}

/** Whether the events of a response can be read, by its content type and content encoding. */
export function isReadableEventStream(contentType: string, contentEncoding: string | undefined): boolean {
  return mediaTypeOf(contentType) === eventStream && !isCompressed(contentEncoding);
}

const eventStream = 'text/event-stream';

function mediaTypeOf(contentType: string): string {
  return contentType.split(';', 1)[0]!.trim().toLowerCase();
}

function isCompressed(contentEncoding: string | undefined): contentEncoding is string {
  return (
    contentEncoding !== undefined && contentEncoding !== '' && contentEncoding.toLowerCase() !== 'identity'
  );
}

/** Usage as Envoy's metadata filters found it, or undefined where they found neither input nor output tokens. */
export function readUsageMetadata(fields: Readonly<Record<string, unknown>>): TokenUsage | undefined {
  return normalise({
    input_tokens: count(fields['input_tokens']),
    output_tokens: count(fields['output_tokens']),
    cached_tokens: count(fields['cached_tokens']),
  });
}

function unreadable(reason: string): UsageReader {
  return {
    push: () => undefined,
    end: () => undefined,
    usage: undefined,
    done: false,
    outputChunks: undefined,
    sawFirstToken: false,
    unreadable: reason,
  };
}

function jsonReader(): UsageReader {
  const capture = new JsonFieldCapture('usage');
  return {
    push: (chunk) => capture.push(chunk),
    end: () => undefined,
    get usage() {
      return capture.value === undefined ? undefined : normalise(readCounts(capture.value));
    },
    done: false,
    outputChunks: undefined,
    sawFirstToken: false,
    unreadable: undefined,
  };
}

const doneMarker = Buffer.from('[DONE]');
const usageKey = Buffer.from('"usage"');
/** Keys whose value is output, the usual one first. */
const outputKeys = ['content', 'text', 'reasoning_content', 'reasoning', 'tool_calls'].map((key) =>
  Buffer.from(`"${key}"`),
);
const terminalTypes: ReadonlySet<string> = new Set([
  'message_stop',
  'response.completed',
  'response.incomplete',
  'response.failed',
]);

/** Reads the events of a stream. Nothing but the small `usage` object is ever parsed. */
class EventStreamReader implements UsageReader {
  done = false;
  outputChunks = 0;
  readonly unreadable = undefined;
  readonly #scanner: SseScanner;
  readonly #typed: boolean;
  /** The last account of each count: servers repeat them, cumulatively, in every event or spread them over two. */
  #counts: Counts = {};

  constructor(api: Api) {
    this.#typed = api === 'responses' || api === 'messages';
    this.#scanner = new SseScanner((data) => {
      if (data.equals(doneMarker)) this.done = true;
      else if (this.#typed) this.#readTyped(data);
      else this.#readChunk(data);
    });
  }

  push(chunk: Buffer): void {
    this.#scanner.push(chunk);
  }

  end(): void {
    this.#scanner.end();
  }

  get usage(): TokenUsage | undefined {
    const usage = normalise(this.#counts);
    if (usage === undefined || this.done || usage.outputTokens >= this.outputChunks) return usage;
    return { ...usage, outputTokens: this.outputChunks };
  }

  get sawFirstToken(): boolean {
    return this.outputChunks > 0;
  }

  /** A chunk of chat or text completions: `choices` and, at the end or always, `usage`. */
  #readChunk(data: Buffer): void {
    if (outputKeys.some((key) => hasValue(data, key))) this.outputChunks++;
    if (!data.includes(usageKey)) return;
    const cursor = new JsonCursor(new SearchableBytes(data), 0, data.length);
    if (cursor.peek() !== 0x7b) return;
    let noChoices = false;
    let usage = false;
    cursor.enter();
    while (cursor.nextMember()) {
      if (cursor.keyIs('usage')) {
        usage = this.#merge(cursor);
      } else {
        if (cursor.keyIs('choices')) noChoices = isEmptyList(cursor);
        cursor.skip();
      }
    }
    if (noChoices && usage) this.done = true;
  }

  /** An event of the responses or messages API: it says its type. */
  #readTyped(data: Buffer): void {
    const hasUsage = data.includes(usageKey);
    const cursor = new JsonCursor(new SearchableBytes(data), 0, data.length);
    if (cursor.peek() !== 0x7b) return;
    cursor.enter();
    while (cursor.nextMember()) {
      const start = cursor.position;
      if (cursor.keyIs('type')) {
        const end = cursor.skip();
        const type = data.toString('latin1', start + 1, end - 1);
        if (terminalTypes.has(type)) this.done = true;
        if (type === 'content_block_delta' || type.endsWith('.delta')) this.outputChunks++;
        continue;
      }
      if (hasUsage && cursor.keyIs('usage')) this.#merge(cursor);
      else if (hasUsage && (cursor.keyIs('response') || cursor.keyIs('message')))
        this.#readUsageIn(cursor.at(start));
      cursor.position = start;
      cursor.skip();
    }
  }

  /** Looks for `usage` among the members of the object at the cursor. */
  #readUsageIn(cursor: JsonCursor): void {
    if (cursor.peek() !== 0x7b) return;
    cursor.enter();
    while (cursor.nextMember()) {
      if (cursor.keyIs('usage')) this.#merge(cursor);
      else cursor.skip();
    }
  }

  /** Takes the account at the cursor, if it is one. */
  #merge(cursor: JsonCursor): boolean {
    const start = cursor.position;
    const isObject = cursor.peek() === 0x7b;
    const end = cursor.skip();
    if (isObject) Object.assign(this.#counts, readCounts(cursor.search.bytes.toString('utf8', start, end)));
    return isObject;
  }
}

function isEmptyList(cursor: JsonCursor): boolean {
  return cursor.peek() === 0x5b && cursor.at(cursor.position + 1).peek() === 0x5d;
}

/** Whether the first value under `key` is a string or list with something in it. */
function hasValue(data: Buffer, key: Buffer): boolean {
  let position = data.indexOf(key);
  if (position < 0) return false;
  position = skipBlank(data, position + key.length);
  if (data[position] !== 0x3a) return false;
  position = skipBlank(data, position + 1);
  if (data[position] === 0x22) return data[position + 1] !== 0x22;
  return data[position] === 0x5b && data[skipBlank(data, position + 1)] !== 0x5d;
}

function skipBlank(data: Buffer, from: number): number {
  let position = from;
  while (data[position] === 0x20) position++;
  return position;
}

/** Counts by the names the APIs have for them; `cached_tokens` stands for either API's details. */
type Counts = Partial<Record<(typeof countNames)[number] | 'cached_tokens', number | undefined>>;

const countNames = [
  'prompt_tokens',
  'completion_tokens',
  'input_tokens',
  'output_tokens',
  'cache_creation_input_tokens',
  'cache_read_input_tokens',
] as const;

/** The counts that a `usage` object has, and no others. */
function readCounts(json: string): Counts {
  const usage = parseObject(json);
  const counts: Counts = {};
  for (const name of countNames) {
    const value = count(usage[name]);
    if (value !== undefined) counts[name] = value;
  }
  const details: unknown = usage['prompt_tokens_details'] ?? usage['input_tokens_details'];
  if (typeof details === 'object' && details !== null && 'cached_tokens' in details) {
    const cached = count(details.cached_tokens);
    if (cached !== undefined) counts.cached_tokens = cached;
  }
  return counts;
}

function parseObject(json: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** Anthropic counts cached tokens beside `input_tokens`, OpenAI counts them among `prompt_tokens`. */
function normalise(counts: Counts): TokenUsage | undefined {
  const input = counts.prompt_tokens ?? counts.input_tokens;
  const output = counts.completion_tokens ?? counts.output_tokens;
  if (input === undefined && output === undefined) return undefined;
  const created = counts.cache_creation_input_tokens ?? 0;
  const read = counts.cache_read_input_tokens;
  return {
    inputTokens: (input ?? 0) + created + (read ?? 0),
    outputTokens: output ?? 0,
    cachedInputTokens: counts.cached_tokens ?? read,
  };
}
