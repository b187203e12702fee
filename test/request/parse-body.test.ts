import { describe, expect, it } from '@jest/globals';
import { parseBody, sessionFields } from '../../src/request/parse-body.ts';
import type { Api, ParsedBody } from '../../src/request/parsed-request.ts';
import { Rejection } from '../../src/request/rejection.ts';

const limits = { promptHeadBytes: 8192, maxDepth: 64 };

function parse(body: string | Buffer, api: Api = 'chat'): ParsedBody {
  const parsed = parseBody(typeof body === 'string' ? Buffer.from(body) : body, api, limits);
  if (parsed instanceof Promise) throw new Error('small bodies are parsed at once');
  return parsed;
}

function rejectionOf(run: () => unknown): Rejection {
  try {
    run();
  } catch (error) {
    if (error instanceof Rejection) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

function nested(depth: number): string {
  return `{"model":"m","x":${'['.repeat(depth)}${']'.repeat(depth)}}`;
}

describe('parseBody() structure', () => {
  it.each([
    ['an empty body', '', 'it is empty at byte 0'],
    ['blank space only', ' \n ', 'it is empty at byte 3'],
    ['an array', '[{"model":"m"}]', 'expected an object, found an array at byte 0'],
    ['a string', '"model"', 'expected an object at byte 0'],
    ['null', 'null', 'expected an object at byte 0'],
    ['text', 'model=m', 'expected an object at byte 0'],
    ['a truncated object', '{"model":"m"', 'it ends too early at byte 12'],
    ['a truncated key', '{"mod', 'it ends inside a string at byte 5'],
    ['a truncated string', '{"model":"m', 'it ends inside a string at byte 11'],
    ['a string that ends in its escape', '{"model":"m\\', 'it ends inside a string at byte 12'],
    ['a truncated literal', '{"model":"m","stream":tru', 'expected a value at byte 22'],
    ['data after the object', '{"model":"m"}x', 'unexpected data after the JSON object at byte 13'],
    ['a second object', '{"model":"m"} {"model":"n"}', 'unexpected data after the JSON object at byte 14'],
    ['NUL after the object', '{"model":"m"}\0', 'unexpected data after the JSON object at byte 13'],
    ['a missing colon', '{"model" "m"}', 'expected ":" after a property name at byte 9'],
    ['a missing comma', '{"model":"m" "x":1}', 'expected "," or the end of the object at byte 13'],
    [
      'a missing comma in an array',
      '{"model":"m","x":[1 2]}',
      'expected "," or the end of the array at byte 20',
    ],
    ['a trailing comma', '{"model":"m",}', 'expected a property name in double quotes at byte 13'],
    ['a trailing comma in an array', '{"x":[1,]}', 'expected a value at byte 8'],
    ['a leading comma in an array', '{"x":[,1]}', 'expected a value at byte 6'],
    ['a bare key', '{model:"m"}', 'expected a property name in double quotes at byte 1'],
    ['single quotes', "{'model':'m'}", 'expected a property name in double quotes at byte 1'],
    ['the wrong bracket', '{"x":[1}}', 'expected "," or the end of the array at byte 7'],
    ['the wrong brace', '{"x":{"y":1]}', 'expected "," or the end of the object at byte 11'],
    ['NaN', '{"x":NaN}', 'expected a value at byte 5'],
    ['True', '{"x":True}', 'expected a value at byte 5'],
    ['a leading zero', '{"x":01}', 'expected "," or the end of the object at byte 6'],
    ['a leading plus', '{"x":+1}', 'expected a value at byte 5'],
    ['a minus alone', '{"x":-}', 'a bad number at byte 5'],
    ['a point without digits', '{"x":1.}', 'a bad number at byte 5'],
    ['an exponent without digits', '{"x":1e+}', 'a bad number at byte 5'],
    ['a bad number in a row of them', '{"x":[1,2,3.]}', 'a bad number at byte 10'],
    ['a number of 2000 digits', `{"x":${'1'.repeat(2000)}}`, 'a number longer than 1024 bytes at byte 5'],
    ['a newline in a string', '{"x":"a\nb"}', 'a control character inside a string at byte 7'],
    ['NUL in a string', '{"x":"a\0b"}', 'a control character inside a string at byte 7'],
    [
      'NUL far inside a string',
      `{"x":"${'a'.repeat(500)}\0${'b'.repeat(500)}"}`,
      'a control character inside a string at byte 506',
    ],
    ['a comment', '{/**/"model":"m"}', 'expected a property name in double quotes at byte 1'],
    ['a bad escape in a key', '{"mod\\xl":"m"}', 'a bad escape in a property name at byte 2'],
    ['65 levels', nested(64), 'nested deeper than 64 levels at byte 80'],
  ])('refuses %s', (_case, body, reason) => {
    const rejection = rejectionOf(() => parse(body));
    expect(rejection.message).toBe(`Cannot parse the request body as JSON: ${reason}`);
    expect(rejection.status).toBe(400);
  });

  it.each([
    ['a byte order mark', Buffer.from('\ufeff{"model":"m"}'), 'it begins with a byte order mark at byte 0'],
    [
      'UTF-16 with a mark',
      Buffer.from('\ufeff{"model":"m"}', 'utf16le'),
      'it is UTF-16 (JSON is sent as UTF-8) at byte 0',
    ],
    [
      'UTF-16 without a mark',
      Buffer.from('{"model":"m"}', 'utf16le'),
      'expected a property name in double quotes at byte 1',
    ],
    [
      'big-endian UTF-16',
      Buffer.from('{"model":"m"}', 'utf16le').swap16(),
      'expected an object, found a NUL byte (is it UTF-16? JSON is sent as UTF-8) at byte 0',
    ],
    ['Latin-1', Buffer.from('{"x":"aé"}', 'latin1'), 'it is not valid UTF-8 at byte 7'],
    ['an overlong sequence', Buffer.from('7b2278223a22c0af227d', 'hex'), 'it is not valid UTF-8 at byte 6'],
    ['a surrogate in UTF-8', Buffer.from('7b2278223a22eda080227d', 'hex'), 'it is not valid UTF-8 at byte 6'],
    ['a cut character', Buffer.from('7b2278223a22e282', 'hex'), 'it is not valid UTF-8 at byte 6'],
  ])('refuses %s', (_case, body, reason) => {
    expect(rejectionOf(() => parse(body)).message).toBe(`Cannot parse the request body as JSON: ${reason}`);
  });

  it.each([
    ['blank space everywhere', ' \r\n\t{ "model" : "m" , "x" : [ 1 , { } , [ ] ] } \n', 'm'],
    ['64 levels', nested(63), 'm'],
    ['all kinds of numbers', '{"model":"m","x":[0,-0,1.5,-1e9,2E-3,0.0e+0,10]}', 'm'],
    ['a key with escapes', '{"mod\\u0065l":"m"}', 'm'],
    ['escapes that no parser knows, in text that is skipped', '{"x":"\\q\\u12","model":"m"}', 'm'],
    ['escaped quotes and backslashes', '{"x":"\\\\\\"\\\\","model":"m"}', 'm'],
    ['a model elsewhere', '{"x":{"model":"deep"},"y":["model"],"model":"m"}', 'm'],
    ['two models: the last', '{"model":"first","model":"last"}', 'last'],
    ['two models, spelled differently: the last', '{"model":"first","\\u006dodel":"last"}', 'last'],
    ['two models, the first no string', '{"model":7,"model":"last"}', 'last'],
  ])('accepts %s', (_case, body, model) => {
    expect(parse(body).model).toBe(model);
  });

  it('never repeats what was sent', () => {
    const rejection = rejectionOf(() => parse('{"model":"m","messages":[{"content":"my secret" oops}]}'));
    expect(rejection.message).not.toMatch(/secret|oops/);
  });
});

describe('parseBody() model', () => {
  it.each([
    ['missing', '{}', 'you must provide a model parameter'],
    ['null', '{"model":null}', 'you must provide a model parameter'],
    ['empty', '{"model":""}', 'you must provide a model parameter'],
    ['blank', '{"model":" \\t\\u00a0"}', 'you must provide a model parameter'],
    ['a number', '{"model":7}', 'the model parameter must be a string'],
    ['a list', '{"model":["m"]}', 'the model parameter must be a string'],
    ['last of duplicates and null', '{"model":"m","model":null}', 'you must provide a model parameter'],
    ['too long', `{"model":"${'m'.repeat(257)}"}`, 'the model parameter is longer than 256 characters'],
    [
      'far too long',
      `{"model":"${'m'.repeat(100_000)}"}`,
      'the model parameter is longer than 256 characters',
    ],
    ['badly escaped', '{"model":"m\\q"}', 'the model parameter is not a valid JSON string'],
    ['half a surrogate pair', '{"model":"m\\ud800"}', 'the model parameter is not a valid JSON string'],
    ['with a line end', '{"model":"m\\nx"}', 'the model parameter contains control characters'],
  ])('refuses one that is %s', (_case, body, message) => {
    const rejection = rejectionOf(() => parse(body));
    expect([rejection.message, rejection.param, rejection.reason]).toEqual([
      message,
      'model',
      'invalid-request',
    ]);
  });

  it.each([
    ['{"model":"meta-llama/Llama-3.1-8B"}', 'meta-llama/Llama-3.1-8B'],
    ['{"model":"mod\\u00e8le \\"x\\""}', 'modèle "x"'],
    [`{"model":"${'\\u006d'.repeat(256)}"}`, 'm'.repeat(256)],
  ])('reads %s', (body, model) => {
    expect(parse(body).model).toBe(model);
  });

  it('says where it is', () => {
    const body = Buffer.from('{"é":1, "model" : "m\\u0041" }');
    const { modelSpan } = parse(body);
    expect(body.toString('utf8', modelSpan.start, modelSpan.end)).toBe('"m\\u0041"');
  });
});

describe('parseBody() fields', () => {
  it.each([
    ['{"model":"m"}', false],
    ['{"model":"m","stream":null}', false],
    ['{"model":"m","stream":false}', false],
    ['{"model":"m","stream":true}', true],
    ['{"model":"m","stream":true,"stream":false}', false],
  ])('reads stream of %s', (body, stream) => {
    expect(parse(body).stream).toBe(stream);
  });

  it.each(['1', '"true"', '[]', '{}'])('refuses stream %s', (value) => {
    const rejection = rejectionOf(() => parse(`{"model":"m","stream":${value}}`));
    expect([rejection.message, rejection.param]).toEqual(['stream must be true or false', 'stream']);
  });

  it.each<[Api, string, number | undefined]>([
    ['chat', '"max_tokens":5', 5],
    ['chat', '"max_tokens":5,"max_completion_tokens":7', 7],
    ['chat', '"max_tokens":5,"max_completion_tokens":null', 5],
    ['chat', '"max_tokens":1e2', 100],
    ['chat', '"max_tokens":0', 0],
    ['chat', '"max_output_tokens":5', undefined],
    ['completions', '"max_tokens":5', 5],
    ['completions', '"max_completion_tokens":5', undefined],
    ['responses', '"max_output_tokens":5,"max_tokens":6', 5],
    ['messages', '"max_tokens":5', 5],
    ['embeddings', '"max_tokens":"x"', undefined],
    ['by-model', '"max_tokens":"x"', undefined],
  ])('reads the token limit of %s with %s', (api, field, expected) => {
    expect(parse(`{"model":"m",${field}}`, api).maxOutputTokens).toBe(expected);
  });

  it.each(['"5"', '-1', '1.5', 'true', '[]', '""', '1e300'])('refuses max_tokens %s', (value) => {
    const rejection = rejectionOf(() => parse(`{"model":"m","max_tokens":${value}}`));
    expect([rejection.message, rejection.param]).toEqual([
      'max_tokens must be a whole number of tokens',
      'max_tokens',
    ]);
  });

  it.each([
    ['nothing', '"x":1', undefined],
    ['user', '"prompt_cache_key":"c","session_id":"s","user":"u"', 'u'],
    ['session_id', '"prompt_cache_key":"c","session_id":"s","user":""', 's'],
    ['prompt_cache_key', '"prompt_cache_key":"c","session_id":[7],"metadata":{"user_id":"d"}', 'c'],
    ['a number', '"session_id":-7.5e3', '-7.5e3'],
    ['no truth', '"session_id":true', undefined],
    ['metadata.user_id', '"metadata":{"x":{"user_id":"no"},"user_id":"d\\u00e9"}', 'dé'],
    ['no key that is too long', `"user":"${'u'.repeat(2000)}"`, undefined],
    ['no key of odd metadata', '"metadata":["user_id","d"]', undefined],
  ])('takes the session from %s', (_case, field, expected) => {
    expect(parse(`{"model":"m",${field}}`).sessionKey).toBe(expected);
  });

  it.each([
    ['a field of any name', ['x-user id'], '"user":"u","x-user id":"me"', 'me'],
    ['the first of several', ['b', 'a'], '"a":"1","b":"2"', '2'],
    ['nothing else', ['a'], '"user":"u","metadata":{"user_id":"d"}', undefined],
    [
      'metadata.user_id in its place',
      ['metadata.user_id', 'user'],
      '"user":"u","metadata":{"user_id":"d"}',
      'd',
    ],
    ['nothing where there are none', [], '"user":"u"', undefined],
  ])('takes the session from %s of the given fields', (_case, names, field, expected) => {
    const limits = { promptHeadBytes: 0, maxDepth: 10, sessionFields: sessionFields(names) };
    const parsed = parseBody(Buffer.from(`{"model":"m",${field}}`), 'chat', limits);
    expect(parsed).toMatchObject({ sessionKey: expected });
  });
});

describe('parseBody() usage option', () => {
  const cases: [string, string, string | undefined][] = [
    ['not streamed', '{"model":"m"}', undefined],
    [
      'absent',
      '{"model":"m","stream":true}',
      '{"stream_options":{"include_usage":true},"model":"m","stream":true}',
    ],
    [
      'null',
      '{"model":"m","stream":true,"stream_options":null}',
      '{"model":"m","stream":true,"stream_options":{"include_usage":true}}',
    ],
    [
      'an empty object',
      '{"stream":true,"stream_options":{ },"model":"m"}',
      '{"stream":true,"stream_options":{"include_usage":true },"model":"m"}',
    ],
    [
      'another option',
      '{"stream":true,"stream_options":{"x":1},"model":"m"}',
      '{"stream":true,"stream_options":{"include_usage":true,"x":1},"model":"m"}',
    ],
    [
      'false',
      '{"stream":true,"stream_options":{"x":{},"include_usage": false },"model":"m"}',
      '{"stream":true,"stream_options":{"x":{},"include_usage": true },"model":"m"}',
    ],
    [
      'false after true',
      '{"stream":true,"stream_options":{"include_usage":true,"include\\u005fusage":null},"model":"m"}',
      '{"stream":true,"stream_options":{"include_usage":true,"include\\u005fusage":true},"model":"m"}',
    ],
    [
      'false, and was to be continuous',
      '{"stream":true,"stream_options":{"include_usage":false,"continuous_usage_stats":true},"model":"m"}',
      '{"stream":true,"stream_options":{"include_usage":true},"model":"m"}',
    ],
    ['true', '{"model":"m","stream":true,"stream_options":{"include_usage":true}}', undefined],
  ];

  it.each([
    ['{}', true],
    ['{"include_usage":true}', true],
    ['{"include_usage":false}', false],
    ['null', false],
  ])('knows that with options %s the client is to see it: %j', (options, sees) => {
    expect(parse(`{"model":"m","stream":true,"stream_options":${options}}`).includeUsage).toBe(sees);
    expect(parse('{"model":"m","stream":true}').includeUsage).toBe(false);
  });

  it.each([
    ['{"include_usage":true,"continuous_usage_stats":true}', true],
    ['{"continuous_usage_stats":true}', true],
    ['{"include_usage":false,"continuous_usage_stats":true}', false],
    ['{"include_usage":true}', false],
  ])('knows whether options %s tell it in every chunk: %j', (options, does) => {
    expect(parse(`{"model":"m","stream":true,"stream_options":${options}}`).continuousUsage).toBe(does);
  });

  it.each([
    ['', 1],
    ['"n":3,', 3],
    ['"n":null,', 1],
    ['"n":"4",', 1],
    ['"n":0,', 1],
    ['"n":12345678,', 1],
  ])('counts the choices of %j', (field, choices) => {
    expect(parse(`{${field}"model":"m"}`).choices).toBe(choices);
    expect(parse(`{${field}"model":"m"}`, 'responses').choices).toBe(1);
  });

  it.each(cases)('adds it where it is %s', (_case, source, expected) => {
    const { usageEdit } = parse(source);
    expect(usageEdit && source.slice(0, usageEdit.start) + usageEdit.text + source.slice(usageEdit.end)).toBe(
      expected,
    );
  });

  it.each<[Api, boolean]>([
    ['chat', true],
    ['completions', true],
    ['responses', false],
    ['messages', false],
    ['embeddings', false],
    ['by-model', false],
  ])('knows whether %s has it', (api, has) => {
    expect(parse('{"model":"m","stream":true}', api).usageEdit !== undefined).toBe(has);
  });

  it.each([
    ['"yes"', 'stream_options must be an object'],
    ['{"include_usage":"yes"}', 'stream_options.include_usage must be true or false'],
    [`{"x":"${'x'.repeat(70_000)}"}`, 'stream_options is too long'],
  ])('refuses stream_options %s', (value, message) => {
    expect(rejectionOf(() => parse(`{"model":"m","stream":true,"stream_options":${value}}`)).message).toBe(
      message,
    );
  });

  it('says what the client asked for', () => {
    expect(parse('{"model":"m","stream_options":{"include_usage":true}}').includeUsage).toBe(true);
    expect(parse('{"model":"m","stream":true}').includeUsage).toBe(false);
  });
});

describe('parseBody() of long bodies', () => {
  const long = 3_000_000;

  it.each([
    ['plain text', 'a'.repeat(long)],
    ['escapes', '\\"\\n\\\\'.repeat(long / 6)],
    ['backslashes up to the end', '\\\\'.repeat(long / 2)],
    ['three-byte characters', '語'.repeat(long / 3)],
  ])('continues in later turns: %s', async (_case, text) => {
    const parsed = parseBody(
      Buffer.from(`{"messages":[{"role":"user","content":"${text}"}],"model":"m"}`),
      'chat',
      limits,
    );
    expect(parsed).toBeInstanceOf(Promise);
    const { model, promptHead, promptBytes } = await parsed;
    expect([model, promptHead.length, promptBytes]).toEqual(['m', 8192, Buffer.byteLength(text) + 4]);
  });

  it('lets others run in between, also where the body is short but dense', async () => {
    let turns = 0;
    const parsed = parseBody(Buffer.from(`{"model":"m","x":[${'[],'.repeat(200_000)}1]}`), 'chat', limits);
    expect(parsed).toBeInstanceOf(Promise);
    let done = false;
    const count = (): void => {
      turns++;
      if (!done) setImmediate(count);
    };
    setImmediate(count);
    await parsed;
    done = true;
    expect(turns).toBeGreaterThan(5);
  });

  it.each([
    [
      'ends inside a string',
      Buffer.from(`{"model":"${'a'.repeat(long)}`),
      'it ends inside a string at byte 3000010',
    ],
    ['is nested 10 MB deep', Buffer.alloc(10_000_000, '{"a":['), 'nested deeper than 64 levels at byte 192'],
    [
      'has a wrong byte in the middle',
      Buffer.from(`{"x":"${'語'.repeat(500_000)}\xff${'a'.repeat(long)}"}`, 'latin1'),
      'it is not valid UTF-8 at byte 6',
    ],
    [
      'has a wrong byte late',
      Buffer.concat([Buffer.from(`{"x":"${'語'.repeat(700_000)}`), Buffer.from([0xe8, 0x22])]),
      'it is not valid UTF-8 at byte 2100006',
    ],
    [
      'has a control character late',
      Buffer.from(`{"x":"${'a'.repeat(long)}\u0001"}`),
      'a control character inside a string at byte 3000006',
    ],
  ])('refuses one that %s', async (_case, body, reason) => {
    await expect(parseBody(body, 'chat', limits)).rejects.toThrow(
      `Cannot parse the request body as JSON: ${reason}`,
    );
  });
});
