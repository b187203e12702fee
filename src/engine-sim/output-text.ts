/** What a simulated model says: words without meaning, the same for the same seed and prompt. */
import { seededRandom } from './random.ts';
import { bytesPerToken } from './tokenizer.ts';

const words = (
  'the a of to and in that it for on with as at by from this one all more when out up time so some them other than then its ' +
  'only new over could first these two may what about into water gate river flow level channel lock stream valve pressure ' +
  'turn open close measure steady wide narrow slow fast deep calm'
).split(' ');

/** A text of exactly `tokens` tokens. It is ASCII, so token `i` is the characters from `4 * i` on. */
export function outputText(seed: number, tokens: number): string {
  const random = seededRandom(seed);
  const length = tokens * bytesPerToken;
  let text = '';
  while (text.length < length) text += `${words[Math.floor(random() * words.length)] ?? ''} `;
  return text.slice(0, length);
}
