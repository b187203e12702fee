/** The identity of a KV block: a hash over its tokens and everything before them, so that equal prefixes share blocks. */

const highLaneFactor = 2 ** 32;

/**
 * One 52-bit hash per full block of `tokens`; a partial last block has none. `salt` keeps apart what must not share
 * blocks although its tokens are equal: the LoRA adapter.
 */
export function hashTokenBlocks(tokens: ArrayLike<number>, blockSize: number, salt = ''): Float64Array {
  const hashes = new Float64Array(Math.floor(tokens.length / blockSize));
  let [high, low] = saltLanes(salt);
  for (let block = 0; block < hashes.length; block++) {
    for (let index = block * blockSize; index < (block + 1) * blockSize; index++) {
      const token = tokens[index] ?? 0;
      low = mix(low, token | 0, 0xcc9e2d51);
      high = mix(high, (token | 0) ^ Math.floor(token / highLaneFactor), 0x85ebca6b);
    }
    hashes[block] = (high >>> 12) * highLaneFactor + (low >>> 0);
  }
  return hashes;
}

/** A 32-bit hash of a token sequence: what the output of a prompt is drawn from. */
export function hashTokens(tokens: ArrayLike<number>, seed: number): number {
  let hash = seed | 0;
  for (let index = 0; index < tokens.length; index++) hash = mix(hash, (tokens[index] ?? 0) | 0, 0xcc9e2d51);
  return mix(hash, tokens.length, 0x85ebca6b) >>> 0;
}

function saltLanes(salt: string): [number, number] {
  let high = 0x9e3779b9 | 0;
  let low = 0x243f6a88;
  for (let index = 0; index < salt.length; index++) {
    high = mix(high, salt.charCodeAt(index), 0x85ebca6b);
    low = mix(low, salt.charCodeAt(index), 0xcc9e2d51);
  }
  return [high, low];
}

/** One round of MurmurHash3's 32-bit body, with its finaliser's shifts so that near tokens spread. */
function mix(hash: number, value: number, factor: number): number {
  let word = Math.imul(value, factor);
  word = (word << 15) | (word >>> 17);
  let mixed = hash ^ Math.imul(word, 0x1b873593);
  mixed = (mixed << 13) | (mixed >>> 19);
  mixed = (Math.imul(mixed, 5) + 0xe6546b64) | 0;
  return mixed ^ (mixed >>> 16);
}
