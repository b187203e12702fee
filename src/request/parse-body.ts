/**
 * Reads what routing needs from a request's body: model, stream flag, limits, session and the head of the prompt.
 *
 * The body is scanned once, as bytes, and never parsed whole or written anew. Long bodies are scanned in slices that let the
 * event loop run in between.
 */
import { SearchableBytes } from './byte-search.ts';
import { decodeString, JsonCursor } from './json-cursor.ts';
import { malformedJson } from './json-error.ts';
import { JsonScanner, wantedKeys, type JsonSpan, type WantedKeys } from './json-scanner.ts';
import { checkModelName, invalidModel, maxModelCharacters, modelTooLong } from './model-name.ts';
import type { Api, BodyEdit, ParsedBody } from './parsed-request.ts';
import { promptFields, renderPrompt } from './prompt-head.ts';
import { Rejection } from './rejection.ts';
import { maxSessionKeyBytes } from './session-key.ts';
import { Utf8Check } from './utf8.ts';

export interface BodyLimits {
  /** How much of the prompt's head to render. */
  readonly promptHeadBytes: number;
  /** Deepest nesting of objects and arrays that is accepted. */
  readonly maxDepth: number;
  /** Default: defaultSessionFields. */
  readonly sessionFields?: SessionFields;
}

/** Fields of a body that may name the session, made ready for the scanner. */
export interface SessionFields {
  /** The first whose value is a text that is not empty, or a number, does. */
  readonly names: readonly string[];
  readonly wanted: WantedKeys;
}

export { parseMultipartModel } from './multipart.ts';

/** Scanner work at once, and in each later turn: half a millisecond and less. See JsonScanner.run. */
const firstUnits = 1 << 16;
const laterUnits = 1 << 15;
/** Larger bodies are checked for UTF-8 in slices, too. */
const maxWholeCheckBytes = 1 << 20;

const wantedFields = [
  ...promptFields,
  'model',
  'stream',
  'stream_options',
  'n',
  'max_completion_tokens',
  'max_tokens',
  'max_output_tokens',
];

/** The one field below the top that may name a session: Anthropic's. */
const metadataUserId = 'metadata.user_id';

/** Fields of the top level by their names, and `metadata.user_id`. */
export function sessionFields(names: readonly string[]): SessionFields {
  const keys = names.map((name) => (name === metadataUserId ? 'metadata' : name));
  return { names, wanted: wantedKeys([...wantedFields, ...keys]) };
}

const defaultSessionFields = sessionFields(['user', 'session_id', 'prompt_cache_key', metadataUserId]);

/**
 * Parses a JSON body. Ordinary bodies are done at once; one that takes more than about half a millisecond (over 512 KiB of
 * text, or dense with structure) is continued in later turns of the event loop, and a promise is returned. The body must not
 * change meanwhile; nothing of the result refers to its memory.
 * @throws Rejection `invalid-request` where the body is not one JSON object in UTF-8, or a field that is read has the wrong
 * type.
 */
export function parseBody(body: Buffer, api: Api, limits: BodyLimits): ParsedBody | Promise<ParsedBody> {
  const { sessionFields: session = defaultSessionFields } = limits;
  refuseByteOrderMark(body);
  const search = new SearchableBytes(body);
  const scanner = new JsonScanner(search, session.wanted, limits.maxDepth);
  const utf8 = new Utf8Check(body);
  if (body.length > maxWholeCheckBytes) return parseInSlices();
  checkUtf8();
  if (!scanner.run(firstUnits)) return parseInSlices();
  return readFields(search, scanner, api, limits);

  async function parseInSlices(): Promise<ParsedBody> {
    while (!utf8.done) {
      checkUtf8();
      await nextTurn();
    }
    while (!scanner.run(laterUnits)) await nextTurn();
    return readFields(search, scanner, api, limits);
  }

  function checkUtf8(): void {
    const invalid = utf8.step();
    if (invalid >= 0) throw malformedJson('it is not valid UTF-8', invalid);
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function refuseByteOrderMark(body: Buffer): void {
  if (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf)
    throw malformedJson('it begins with a byte order mark', 0);
  if ((body[0] === 0xfe && body[1] === 0xff) || (body[0] === 0xff && body[1] === 0xfe)) {
    throw malformedJson('it is UTF-16 (JSON is sent as UTF-8)', 0);
  }
}

function readFields(search: SearchableBytes, scanner: JsonScanner, api: Api, limits: BodyLimits): ParsedBody {
  const body = search.bytes;
  const { fields } = scanner;
  const { model, span: modelSpan } = readModel(body, fields.get('model'));
  const stream = api !== 'by-model' && readFlag(body, fields.get('stream'), 'stream');
  const options = hasUsageOption(api) ? readStreamOptions(search, fields.get('stream_options')) : noOptions;
  const prompt = renderPrompt(api, fields, search, limits.promptHeadBytes);
  return {
    model,
    modelSpan,
    modelForm: 'json-string',
    promptHead: prompt.head,
    promptBytes: prompt.bytes,
    stream,
    includeUsage: options.includeUsage,
    continuousUsage: options.continuous && options.includeUsage,
    usageEdit: stream && hasUsageOption(api) ? usageEdit(options, scanner.insertAt) : undefined,
    maxOutputTokens: readMaxOutputTokens(body, api, fields),
    choices: hasUsageOption(api) ? readChoices(body, fields.get('n')) : 1,
    sessionKey: readSessionKey(search, fields, (limits.sessionFields ?? defaultSessionFields).names),
  };
}

function readModel(
  body: Buffer,
  span: JsonSpan | undefined,
): { readonly model: string; readonly span: JsonSpan } {
  if (span === undefined || body[span.start] === 0x6e)
    throw invalidModel('you must provide a model parameter');
  if (body[span.start] !== 0x22) throw invalidModel('the model parameter must be a string');
  // Each character can be written as a six-byte escape.
  if (span.end - span.start > 6 * maxModelCharacters + 2) throw modelTooLong();
  const model = stringValue(body, span);
  if (model === undefined) throw invalidModel('the model parameter is not a valid JSON string');
  return { model: checkModelName(model), span };
}

/** True, false, null or absent. Engines also take "true" and 1: refused, for what they mean depends on the engine. */
function readFlag(body: Buffer, span: JsonSpan | undefined, param: string): boolean {
  if (span === undefined) return false;
  const first = body[span.start];
  if (first === 0x74) return true;
  if (first === 0x66 || first === 0x6e) return false;
  throw new Rejection('invalid-request', `${param} must be true or false`, { param });
}

interface StreamOptions {
  readonly includeUsage: boolean;
  /** Of the object's value, or of null. */
  readonly span: JsonSpan | undefined;
  /** Of the value of `include_usage`. */
  readonly flagSpan: JsonSpan | undefined;
  /** Whether the object has no members. */
  readonly empty: boolean;
  /** Whether it asks for usage in every chunk, which means nothing without usage: vLLM's `continuous_usage_stats`. */
  readonly continuous: boolean;
  readonly isNull: boolean;
}

const noOptions: StreamOptions = {
  includeUsage: false,
  span: undefined,
  flagSpan: undefined,
  empty: true,
  continuous: false,
  isNull: false,
};

function hasUsageOption(api: Api): boolean {
  return api === 'chat' || api === 'completions';
}

function readStreamOptions(search: SearchableBytes, span: JsonSpan | undefined): StreamOptions {
  if (span === undefined) return noOptions;
  const body = search.bytes;
  if (body[span.start] === 0x6e) return { ...noOptions, span, isNull: true };
  if (body[span.start] !== 0x7b) {
    throw new Rejection('invalid-request', 'stream_options must be an object', { param: 'stream_options' });
  }
  if (span.end - span.start > maxOptionsBytes) {
    throw new Rejection('invalid-request', 'stream_options is too long', { param: 'stream_options' });
  }
  let flagSpan: JsonSpan | undefined;
  let empty = true;
  let continuous = false;
  forEachMember(search, span, (key, start, end) => {
    empty = false;
    if (key === 'continuous_usage_stats') continuous = true;
    if (key === 'include_usage') flagSpan = { start, end, textBytes: 0 };
  });
  return {
    // vLLM reports usage to whoever gives options, unless they say otherwise.
    includeUsage: flagSpan === undefined || readFlag(body, flagSpan, 'stream_options.include_usage'),
    span,
    flagSpan,
    empty,
    continuous,
    isNull: false,
  };
}

function usageEdit(options: StreamOptions, insertAt: number): BodyEdit | undefined {
  const { span, flagSpan } = options;
  if (span === undefined)
    return { start: insertAt, end: insertAt, text: '"stream_options":{"include_usage":true},' };
  if (flagSpan === undefined && !options.isNull) {
    const start = span.start + 1;
    return { start, end: start, text: options.empty ? '"include_usage":true' : '"include_usage":true,' };
  }
  if (options.includeUsage) return undefined;
  return flagSpan === undefined || options.continuous
    ? { start: span.start, end: span.end, text: '{"include_usage":true}' }
    : { start: flagSpan.start, end: flagSpan.end, text: 'true' };
}

const limitFields: Readonly<Record<Api, readonly string[]>> = {
  chat: ['max_completion_tokens', 'max_tokens'],
  completions: ['max_tokens'],
  responses: ['max_output_tokens'],
  messages: ['max_tokens'],
  embeddings: [],
  'by-model': [],
};

function readMaxOutputTokens(
  body: Buffer,
  api: Api,
  fields: ReadonlyMap<string, JsonSpan>,
): number | undefined {
  for (const param of limitFields[api]) {
    const span = fields.get(param);
    if (span === undefined || body[span.start] === 0x6e) continue;
    // Number reads what is no number (true, "8", []) as NaN: quotes and brackets are part of the text.
    const value = Number(body.toString('latin1', span.start, span.end));
    if (Number.isSafeInteger(value) && value >= 0) return value;
    throw new Rejection('invalid-request', `${param} must be a whole number of tokens`, { param });
  }
  return undefined;
}

/** Engines refuse what is no number of choices; nothing but accounts depends on it here. */
function readChoices(body: Buffer, span: JsonSpan | undefined): number {
  if (span === undefined || span.end - span.start > maxChoicesDigits) return 1;
  const value = Number(body.toString('latin1', span.start, span.end));
  return Number.isSafeInteger(value) && value > 1 ? value : 1;
}

const maxChoicesDigits = 6;

function readSessionKey(
  search: SearchableBytes,
  fields: ReadonlyMap<string, JsonSpan>,
  names: readonly string[],
): string | undefined {
  for (const name of names) {
    const span = fields.get(name);
    const key =
      name === metadataUserId
        ? readUserId(search, fields.get('metadata'))
        : span && sessionKey(search.bytes, span);
    if (key !== undefined) return key;
  }
  return undefined;
}

function readUserId(search: SearchableBytes, metadata: JsonSpan | undefined): string | undefined {
  const body = search.bytes;
  let userId: string | undefined;
  if (metadata !== undefined && body[metadata.start] === 0x7b) {
    forEachMember(search, metadata, (key, start, end) => {
      if (key === 'user_id') userId = sessionKey(body, { start, end, textBytes: 0 });
    });
  }
  return userId;
}

/** A non-empty string, or a number as it is written; what is too long to be kept for every session is as good as none. */
function sessionKey(body: Buffer, span: JsonSpan): string | undefined {
  if (span.end - span.start > maxSessionKeyBytes) return undefined;
  if (isNumber(body[span.start])) return body.toString('latin1', span.start, span.end);
  if (body[span.start] !== 0x22) return undefined;
  const key = stringValue(body, span);
  return key === '' ? undefined : key;
}

function isNumber(first: number | undefined): boolean {
  return first === 0x2d || (first !== undefined && first >= 0x30 && first <= 0x39);
}

function stringValue(body: Buffer, span: JsonSpan): string | undefined {
  return decodeString(body.toString('utf8', span.start, span.end));
}

/** Options and metadata are small; of a larger object only the beginning is looked at, so that time stays bounded. */
const maxOptionsBytes = 1 << 16;

function forEachMember(
  search: SearchableBytes,
  span: JsonSpan,
  visit: (key: string, start: number, end: number) => void,
): void {
  const cursor = new JsonCursor(search, span.start, Math.min(span.end, span.start + maxOptionsBytes));
  cursor.enter();
  while (cursor.nextMember()) {
    const start = cursor.position;
    visit(cursor.key(), start, cursor.skip());
  }
}
