/** `POST /v1/audio/transcriptions`: a form with an audio file is accepted, and answered with words that it does not contain. */
import { ApiError } from './api-error.ts';
import { hashTokens } from './block-hash.ts';
import type { Handler } from './exchange.ts';
import { sendJson } from './exchange.ts';
import { planChoices } from './generation.ts';
import { runGeneration } from './run-generation.ts';
import { special } from './tokenizer.ts';

/** What an encoder makes of a second of speech in 16-bit mono at 16 kHz: 50 frames, as Whisper does. */
const bytesPerAudioToken = 640;
const bytesPerSecond = 32_000;

/** Answers `{"text"}` whatever `response_format` asks for. */
export const transcriptions: Handler = (sim, exchange) => {
  const { headers, body, res } = exchange;
  const boundary = /^multipart\/form-data\s*;.*boundary="?([^";]+)"?/i.exec(
    headers['content-type'] ?? '',
  )?.[1];
  if (boundary === undefined)
    throw new ApiError(400, 'Bad Request', 'The body is not multipart/form-data with a boundary.');
  const model = sim.models.resolve(formField(body, boundary, 'model'));
  const audioTokens = Math.min(Math.ceil(body.length / bytesPerAudioToken), sim.profile.maxModelLen / 2);
  const prompt = [
    special.media,
    ...Array.from({ length: audioTokens }, (_, index) => 256 + hashTokens([index], body.length)),
  ];
  const limits = { maxTokens: undefined, minTokens: 0, ignoreEos: false, n: 1, seed: 0 };
  const choices = planChoices(
    { prompts: [prompt], limits, adapter: model.adapter },
    sim.profile,
    sim.seed,
    sim.nextId,
  );
  runGeneration(sim, exchange, choices, {
    onToken: () => undefined,
    onEnd: () =>
      sendJson(res, 200, {
        text: choices.map((choice) => choice.text).join(''),
        usage: { type: 'duration', seconds: Math.ceil(body.length / bytesPerSecond) },
      }),
  });
};

/** The text of a form field that is not a file. */
function formField(body: Buffer, boundary: string, name: string): string | undefined {
  for (const part of body.toString('latin1').split(`--${boundary}`)) {
    const end = part.indexOf('\r\n\r\n');
    if (end !== -1 && part.slice(0, end).includes(`name="${name}"`)) {
      return Buffer.from(part.slice(end + 4).replace(/\r\n$/, ''), 'latin1').toString('utf8');
    }
  }
  return undefined;
}
