/** The smallest request of each kind that a model can answer: what an inference check sends. */

/** What a model is for, and with it which API it answers. The words are those of vllm-router. */
export type ModelType =
  'chat' | 'completion' | 'embeddings' | 'rerank' | 'score' | 'transcription' | 'vision' | 'messages';

/** A `POST` without its address. */
export interface TinyRequest {
  readonly path: string;
  readonly contentType: string;
  readonly body: Buffer;
}

/** The request that costs a model of this type a few tokens at most. */
export function tinyRequest(type: ModelType, model: string): TinyRequest {
  switch (type) {
    case 'chat':
      return json('/v1/chat/completions', { model, messages: [hello], ...shortAnswer });
    case 'vision':
      return json('/v1/chat/completions', { model, messages: [helloWithImage], ...shortAnswer });
    case 'messages':
      return json('/v1/messages', { model, messages: [hello], ...shortAnswer });
    case 'completion':
      return json('/v1/completions', { model, prompt: greeting, ...shortAnswer });
    case 'embeddings':
      return json('/v1/embeddings', { model, input: greeting });
    case 'rerank':
      return json('/v1/rerank', { model, query: greeting, documents: [greeting] });
    case 'score':
      return json('/v1/score', { model, text_1: greeting, text_2: greeting });
    case 'transcription':
      return audioForm('/v1/audio/transcriptions', model, silence(0.1));
  }
}

const greeting = 'Hello';
const shortAnswer = { temperature: 0, max_tokens: 3 };
const hello = { role: 'user', content: greeting };

/** A white square of 64 × 64 pixels: several vision models refuse images of less than about 28. */
const whitePng =
  'iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAS0lEQVR42u3PMQ0AAAwDoPo33UrYvQQckD4XAQEBAQEBAQEBAQEBAQEBAQEBAQEB' +
  'AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAYHLAMpT0sIcNbcEAAAAAElFTkSuQmCC';

const helloWithImage = {
  role: 'user',
  content: [
    { type: 'text', text: greeting },
    { type: 'image_url', image_url: { url: `data:image/png;base64,${whitePng}` } },
  ],
};

function json(path: string, fields: object): TinyRequest {
  return { path, contentType: 'application/json', body: Buffer.from(JSON.stringify(fields)) };
}

/** Cannot occur in what it separates: a name of a model, and silence. */
const boundary = 'sluice-inference-check-5f0c1b7e';

function audioForm(path: string, model: string, wav: Buffer): TinyRequest {
  const body = Buffer.concat([
    Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="model"\r\n\r\n${model}\r\n` +
        `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="silence.wav"\r\n` +
        'content-type: audio/wav\r\n\r\n',
    ),
    wav,
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
  return { path, contentType: `multipart/form-data; boundary=${boundary}`, body };
}

const samplesPerSecond = 16_000;
const bytesPerSample = 2;
const wavHeaderBytes = 44;

/** A wav file of one channel with 16-bit samples, all of them zero. */
function silence(seconds: number): Buffer {
  const dataBytes = Math.round(seconds * samplesPerSecond) * bytesPerSample;
  const file = Buffer.alloc(wavHeaderBytes + dataBytes);
  file.write('RIFF', 0, 'latin1');
  file.writeUInt32LE(file.length - 8, 4);
  file.write('WAVEfmt ', 8, 'latin1');
  file.writeUInt32LE(16, 16); // bytes of this chunk
  file.writeUInt16LE(1, 20); // PCM
  file.writeUInt16LE(1, 22); // channels
  file.writeUInt32LE(samplesPerSecond, 24);
  file.writeUInt32LE(samplesPerSecond * bytesPerSample, 28);
  file.writeUInt16LE(bytesPerSample, 32);
  file.writeUInt16LE(8 * bytesPerSample, 34);
  file.write('data', 36, 'latin1');
  file.writeUInt32LE(dataBytes, 40);
  return file;
}
