import { describe, expect, it } from '@jest/globals';
import { crc32, inflateSync } from 'node:zlib';
import { tinyRequest, type ModelType } from '../../src/endpoints/tiny-request.ts';

const hello = [{ role: 'user', content: 'Hello' }];

interface VisionBody {
  readonly messages: readonly [
    { readonly content: readonly [object, { readonly image_url: { readonly url: string } }] },
  ];
}

function bodyOf(type: ModelType): unknown {
  return JSON.parse(tinyRequest(type, 'org/m "x"').body.toString());
}

describe('tinyRequest()', () => {
  it.each<[ModelType, string, object]>([
    ['chat', '/v1/chat/completions', { messages: hello, temperature: 0, max_tokens: 3 }],
    ['messages', '/v1/messages', { messages: hello, temperature: 0, max_tokens: 3 }],
    ['completion', '/v1/completions', { prompt: 'Hello', temperature: 0, max_tokens: 3 }],
    ['embeddings', '/v1/embeddings', { input: 'Hello' }],
    ['rerank', '/v1/rerank', { query: 'Hello', documents: ['Hello'] }],
    ['score', '/v1/score', { text_1: 'Hello', text_2: 'Hello' }],
  ])('for %s is JSON', (type, path, fields) => {
    expect(tinyRequest(type, 'm')).toMatchObject({ path, contentType: 'application/json' });
    expect(bodyOf(type)).toEqual({ model: 'org/m "x"', ...fields });
  });

  it('for vision shows an image of 64 × 64 pixels', () => {
    expect(tinyRequest('vision', 'm').path).toBe('/v1/chat/completions');
    expect(bodyOf('vision')).toMatchObject({ model: 'org/m "x"', temperature: 0, max_tokens: 3 });
    const { url } = (bodyOf('vision') as VisionBody).messages[0].content[1].image_url;
    const [head, data = ''] = url.split(',');
    expect(head).toBe('data:image/png;base64');
    const chunks = pngChunks(Buffer.from(data, 'base64'));
    expect([...chunks.keys()]).toEqual(['IHDR', 'IDAT', 'IEND']);
    // Width, height, bits per channel, RGB, and nothing unusual.
    expect([...chunks.get('IHDR')!]).toEqual([0, 0, 0, 64, 0, 0, 0, 64, 8, 2, 0, 0, 0]);
    expect(inflateSync(chunks.get('IDAT')!)).toHaveLength(64 * (1 + 3 * 64));
  });

  it('for transcription is a form with the model and 0.1 s of silence', () => {
    const { path, contentType, body } = tinyRequest('transcription', 'org/m "x"');
    expect(path).toBe('/v1/audio/transcriptions');
    const boundary = /^multipart\/form-data; boundary=([^ ]+)$/.exec(contentType)?.[1] ?? '';
    const [before, model, file, after, ...more] = body.toString('latin1').split(`--${boundary}`);
    expect([before, after, more]).toEqual(['', '--\r\n', []]);
    expect(model).toBe('\r\ncontent-disposition: form-data; name="model"\r\n\r\norg/m "x"\r\n');
    const [head, data] = file!.split('\r\n\r\n', 2);
    expect(head?.split('\r\n')).toEqual([
      '',
      'content-disposition: form-data; name="file"; filename="silence.wav"',
      'content-type: audio/wav',
    ]);
    expect(data?.slice(-2)).toBe('\r\n');
    const wav = Buffer.from(data?.slice(0, -2) ?? '', 'latin1');
    expect(wav.toString('latin1', 0, 16)).toBe(`RIFF${String.fromCharCode(0xa4, 0x0c, 0, 0)}WAVEfmt `);
    expect(wav.toString('latin1', 36, 40)).toBe('data');
    // Mono, 16 000 samples a second, 16 bits each: 0.1 s is 3200 bytes.
    expect([wav.readUInt16LE(20), wav.readUInt16LE(22), wav.readUInt32LE(24)]).toEqual([1, 1, 16_000]);
    expect([wav.readUInt32LE(28), wav.readUInt16LE(32), wav.readUInt16LE(34)]).toEqual([32_000, 2, 16]);
    expect([wav.readUInt32LE(40), wav.length]).toEqual([3200, 3244]);
    expect(wav.subarray(44).every((byte) => byte === 0)).toBe(true);
  });
});

/** The chunks by their names, each with the checksum that it says. */
function pngChunks(png: Buffer): ReadonlyMap<string, Buffer> {
  expect(png.subarray(0, 8)).toEqual(Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'));
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < png.length;) {
    const end = at + 8 + png.readUInt32BE(at);
    expect(png.readUInt32BE(end)).toBe(crc32(png.subarray(at + 4, end)));
    chunks.set(png.toString('latin1', at + 4, at + 8), png.subarray(at + 8, end));
    at = end + 4;
  }
  return chunks;
}
