/**
 * Consistent hashing: which of many nodes a key belongs to, such that a node that comes or goes moves its own keys only.
 * Hash and points are those of Python's uhashring without weights, so both name the same node for a key.
 */
import { hash } from 'node:crypto';

const pointsPerNode = 160;

/**
 * Where a text is on a ring: the first 52 of the 128 bits of the MD5 of its UTF-8 form, as a whole number. Among the
 * 160,000 points of a thousand nodes, the chance that any two share them is 3 in a million.
 */
export function ringPosition(text: string): number {
  return Number.parseInt(hash('md5', text).slice(0, 13), 16);
}

/** Points in the order of their position: point i is at positions[i] and belongs to nodes[i]. */
interface Points {
  readonly positions: Float64Array;
  readonly nodes: Int32Array;
}

/**
 * A ring of nodes, each a small whole number with a name that decides its points. The ring of some of the nodes is this
 * one with the points of all others stepped over, so one ring serves every choice of nodes.
 */
export class HashRing {
  #points: Points = { positions: new Float64Array(0), nodes: new Int32Array(0) };
  /** Names of nodes whose points are not on the ring yet: many that come at a time cost one pass. */
  readonly #joining = new Map<number, string>();

  /** Puts a node on the ring; one that is there already gets the points of the new name instead. */
  join(node: number, name: string): void {
    this.#joining.set(node, name);
  }

  /** Whose point is the i-th of the ring, for each i. */
  get nodes(): Int32Array {
    if (this.#joining.size > 0) {
      this.#points = replaced(this.#points, this.#joining);
      this.#joining.clear();
    }
    return this.#points.nodes;
  }

  /** The index in `nodes` of the first point beyond the key, 0 where there is none: the key belongs to that node. */
  after(key: string): number {
    const { length } = this.nodes;
    const { positions } = this.#points;
    const wanted = ringPosition(key);
    let low = 0;
    let high = length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (positions[middle]! > wanted) high = middle;
      else low = middle + 1;
    }
    return low === length ? 0 : low;
  }
}

/** The ring with all points of the given nodes replaced by those of their names. Linear, unlike sorting it anew. */
function replaced(ring: Points, names: ReadonlyMap<number, string>): Points {
  // A table, because asking the map takes longer than all the rest.
  const leaves = new Uint8Array(Math.max(...names.keys()) + 1);
  for (const node of names.keys()) leaves[node] = 1;

  const fresh = pointsOf(names);
  const positions = new Float64Array(ring.nodes.length + fresh.nodes.length);
  const nodes = new Int32Array(positions.length);
  let at = 0;
  let fromFresh = 0;
  for (let i = 0; i <= ring.nodes.length; i++) {
    const position = i < ring.nodes.length ? ring.positions[i]! : Infinity;
    for (; fromFresh < fresh.nodes.length && fresh.positions[fromFresh]! <= position; fromFresh++) {
      positions[at] = fresh.positions[fromFresh]!;
      nodes[at++] = fresh.nodes[fromFresh]!;
    }
    if (position === Infinity || leaves[ring.nodes[i]!] === 1) continue;
    positions[at] = position;
    nodes[at++] = ring.nodes[i]!;
  }
  return { positions: positions.subarray(0, at), nodes: nodes.subarray(0, at) };
}

/** The points of the given nodes by themselves. */
function pointsOf(names: ReadonlyMap<number, string>): Points {
  const unordered = new Float64Array(names.size * pointsPerNode);
  let i = 0;
  for (const name of names.values())
    for (let point = 0; point < pointsPerNode; point++) unordered[i++] = ringPosition(`${name}-${point}`);

  const order = Uint32Array.from(unordered.keys()).sort((a, b) => unordered[a]! - unordered[b]!);
  const nodes = [...names.keys()];
  return {
    positions: Float64Array.from(order, (point) => unordered[point]!),
    nodes: Int32Array.from(order, (point) => nodes[Math.floor(point / pointsPerNode)]!),
  };
}
