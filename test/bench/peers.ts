/** Figures of others, taken earlier with the same method on a machine of the same kind: they age, and are not measured anew. */
import type { PlotValues } from './bench.ts';
import type { Plot } from './plot.ts';

/** One bar of each panel; absent where nobody measured it. */
interface Peer {
  readonly name: string;
  readonly ours?: boolean;
  readonly cpu2000?: number;
  readonly cpu220000?: number;
  readonly p50At2000?: number;
  readonly p50At220000?: number;
}

const goPicker = 'Go endpoint picker (llm-d-router 0.10)';

const others: readonly Peer[] = [
  { name: goPicker, cpu2000: 202, cpu220000: 3100, p50At2000: 0.65, p50At220000: 3.4 },
  { name: 'Rust proxy (vllm-router 0.1.17), no Envoy', cpu2000: 325, cpu220000: 1192 },
  { name: 'Node server that only answers', cpu2000: 70, cpu220000: 139 },
];

/** What is said of them. */
export const peerNotes: readonly string[] = [
  'Figures of others are not from this run. They were taken once with the same method (an edge Envoy like the plain one here, eight idle engines, wrk, CPU from `/proc`) on a machine of the same kind with two cores, and stand here for the order of magnitude.',
  '**Go endpoint picker**: llm-d-router 0.10 behind the plain edge. 2 KB: 202 to 245 µs of CPU per request (the lower end is drawn), 220 KB: 3.1 ms; with 100 engines 490 µs and 4.1 ms. Added p50 at one connection 0.65 ms and 3.4 ms. Idle with 100 engines 13.8 % of a core.',
  '**Rust proxy**: vllm-router 0.1.17 is a whole proxy without Envoy, so that its CPU time contains carrying the traffic and the other rows have Envoy’s on top. `cache_aware`: 325 µs at 2 KB, 1192 µs at 220 KB; `round_robin`: 37 µs and 197 µs. *In the place of vllm-router*, below, has it in this run with other prompts.',
  '**Node server that only answers**: an ext_proc server on Node that reads nothing of the body and always names the same endpoint, with the same windows and GC settings as Sluice: what the transport alone takes.',
];

/** The two drawings, by file name. */
export function comparisonPlots(measured: PlotValues): ReadonlyMap<string, Plot> {
  const peers: readonly Peer[] = [
    {
      name: 'Sluice, plain edge, no usage',
      ours: true,
      ...ours(measured, 'compared'),
    },
    {
      name: 'Sluice as shipped, usage counted',
      ours: true,
      ...ours(measured, 'shipped'),
    },
    ...others,
  ];
  const bars = (value: (peer: Peer) => number | undefined) =>
    peers.flatMap((peer) => {
      const length = value(peer);
      return length === undefined ? [] : [{ name: peer.name, value: length, emphasis: peer.ours === true }];
    });
  return new Map([
    [
      'cpu-per-exchange.svg',
      {
        title: 'CPU time of the picker per request, 16 connections',
        unit: 'µs',
        panels: [
          { title: '2 KB bodies', bars: bars((peer) => peer.cpu2000) },
          { title: '220 KB bodies', bars: bars((peer) => peer.cpu220000) },
        ],
      },
    ],
    [
      'added-latency.svg',
      {
        title: 'Latency added at the median, one connection',
        unit: 'ms',
        panels: [
          { title: '2 KB bodies', bars: bars((peer) => peer.p50At2000) },
          { title: '220 KB bodies', bars: bars((peer) => peer.p50At220000) },
        ],
      },
    ],
  ]);
}

function ours(measured: PlotValues, system: string): Omit<Peer, 'name'> {
  return {
    cpu2000: measured[`${system}Cpu2000`]!,
    cpu220000: measured[`${system}Cpu220000`]!,
    p50At2000: measured[`${system}P502000`]!,
    p50At220000: measured[`${system}P50220000`]!,
  };
}
