/** What a model's name may be, in whichever format it was sent. */
import { isUtf8 } from 'node:buffer';
import { Rejection } from './rejection.ts';

/** Longest name, in UTF-16 units. */
export const maxModelCharacters = 256;

/** How a model that is absent or unusable is refused; worded like OpenAI. */
export function invalidModel(message: string): Rejection {
  return new Rejection('invalid-request', message, { param: 'model' });
}

/** The name, if it is one. @throws Rejection `invalid-request` where it is blank, too long, or has control characters. */
export function checkModelName(name: string): string {
  if (name.length > maxModelCharacters) throw modelTooLong();
  if (name.trim() === '') throw invalidModel('you must provide a model parameter');
  // It goes into headers and logs.
  if (/\p{Cc}/u.test(name)) throw invalidModel('the model parameter contains control characters');
  return name;
}

/** The name written as plain UTF-8. */
export function readModelName(bytes: Buffer): string {
  if (bytes.length > 4 * maxModelCharacters) throw modelTooLong();
  if (!isUtf8(bytes)) throw invalidModel('the model parameter is not valid UTF-8');
  return checkModelName(bytes.toString());
}

export function modelTooLong(): Rejection {
  return invalidModel(`the model parameter is longer than ${maxModelCharacters} characters`);
}
