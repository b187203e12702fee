/** Request bodies: chat completions whose prompt is random words, the same in every run. */

/** A body of just about `bytes`. Its prompt begins with `counter`, which a load may overwrite to make it unique. */
export function promptBody(bytes: number): Buffer {
  const frame = requestBody('').length;
  return Buffer.from(requestBody(`${counter} ${randomWords(bytes - frame - counter.length - 1)}`));
}

/**
 * The same body in four pieces, for a load that puts numbers of twelve digits between them: the first begins the prompt;
 * the second follows what conversations have in common, a quarter of the prompt and 2 KB at most; the third begins the
 * last message, which is the last eighth.
 */
export function conversationPieces(bytes: number): readonly [string, string, string, string] {
  const body = promptBody(bytes).toString();
  const first = body.indexOf(counter);
  const promptBytes = body.length - requestBody('').length;
  const second = first + Math.floor(Math.min(promptBytes / 4, 2000));
  const third = first + Math.floor((promptBytes * 7) / 8);
  return [
    body.slice(0, first),
    body.slice(first + counter.length, second),
    body.slice(second + counter.length, third),
    body.slice(third + counter.length),
  ];
}

/** Twelve digits at the beginning of the prompt. */
export const counter = '000000000000';

/** What a size is called in tables. */
export function sizeName(bytes: number): string {
  return `${Math.round(bytes / 1000)} KB`;
}

function requestBody(content: string): string {
  return JSON.stringify({ model: 'm', messages: [{ role: 'user', content }], max_tokens: 16 });
}

function randomWords(characters: number): string {
  const next = mulberry32(1);
  let text = '';
  while (text.length < characters) {
    const letters = 2 + (next() % 8);
    for (let i = 0; i < letters; i++) text += String.fromCharCode(97 + (next() % 26));
    text += ' ';
  }
  return text.slice(0, Math.max(0, characters));
}

/** A small generator of 32-bit numbers, by Tommy Ettinger. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}
