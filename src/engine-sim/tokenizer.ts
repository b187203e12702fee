/**
 * A reversible stand-in for a tokenizer: four bytes of UTF-8 are one token, which is about what English text needs with
 * a real vocabulary. Equal beginnings of a text give equal tokens, which is all the prefix cache asks for.
 */

/** Bytes of UTF-8 in a token. */
export const bytesPerToken = 4;

/** Marks that structure a chat; each is one token. */
export const special = { imStart: 1, imEnd: 2, media: 3 } as const;

const specialTexts = new Map<number, string>([
  [special.imStart, '<|im_start|>'],
  [special.imEnd, '<|im_end|>'],
  [special.media, '<|media|>'],
]);

/** The tokens of a text: each id is its bytes behind a leading one, so that the length survives. */
export function encode(text: string): number[] {
  const bytes = Buffer.from(text, 'utf8');
  const tokens: number[] = [];
  for (let start = 0; start < bytes.length; start += bytesPerToken) {
    let token = 1;
    const end = Math.min(start + bytesPerToken, bytes.length);
    for (let index = start; index < end; index++) token = token * 256 + (bytes[index] ?? 0);
    tokens.push(token);
  }
  return tokens;
}

/** The text of tokens; ids that `encode` does not make have none. */
export function decode(tokens: readonly number[]): string {
  const parts: Buffer[] = [];
  for (const token of tokens) {
    const text = specialTexts.get(token);
    parts.push(text === undefined ? bytesOf(token) : Buffer.from(text));
  }
  return Buffer.concat(parts).toString('utf8');
}

function bytesOf(token: number): Buffer {
  const bytes: number[] = [];
  let rest = token;
  for (; rest > 255 && bytes.length < bytesPerToken; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from(rest === 1 ? bytes : []);
}
