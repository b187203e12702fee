/** vllm-router's session ring written down naively, to compare with: 128 bits, rebuilt for every question. */
import { createHash } from 'node:crypto';

/** The names in the order in which they follow the key on the ring; the first is the owner. */
export function ringOrder(names: readonly string[], key: string): string[] {
  const points = names
    .flatMap((name) => Array.from({ length: 160 }, (_, w) => ({ at: md5(`${name}-${w}`), name })))
    .sort((a, b) => (a.at < b.at ? -1 : 1));
  const wanted = md5(key);
  const beyond = points.filter(({ at }) => at > wanted);
  return [...new Set([...beyond, ...points].map(({ name }) => name))];
}

function md5(text: string): bigint {
  return BigInt(`0x${createHash('md5').update(text, 'utf8').digest('hex')}`);
}
