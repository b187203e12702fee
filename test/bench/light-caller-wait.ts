/** How long a caller with little to ask waits beside one with much, by policy, through a real Envoy. */
import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { digits, type Bench, type Table, type Target } from './bench.ts';
import { startShippedGateway, type ShippedGateway } from './shipped-gateway.ts';
import { startSimulatedEngines } from './simulated-engines.ts';
import { streamedCompletion, type StreamedReply } from './streamed-completion.ts';

const engineCount = 2;
const maxNumSeqs = 8;
const speed = 2;
const tokens = 64;
const promptBytes = 1000;
/** Requests of the light caller that wait or run at any time. */
const lightRequests = 2 * engineCount * maxNumSeqs;
const times = 10;
const callerHeader = 'x-caller';

interface Scenario {
  readonly name: string;
  readonly policy: 'vtc' | 'window' | 'fifo';
  /** Requests of the other caller, likewise. */
  readonly otherRequests: number;
}

const scenarios: readonly Scenario[] = [
  { name: 'alone', policy: 'vtc', otherRequests: 0 },
  { name: 'beside one that asks as much', policy: 'vtc', otherRequests: lightRequests },
  { name: `beside one that asks ${times} × as much`, policy: 'vtc', otherRequests: times * lightRequests },
  { name: `beside one that asks ${times} × as much`, policy: 'window', otherRequests: times * lightRequests },
  { name: `beside one that asks ${times} × as much`, policy: 'fifo', otherRequests: times * lightRequests },
];
const equal = 1;
const heavyVtc = 2;

interface Waits {
  /** Of the light caller: requests, and how long each waited for its turn and for its first token. */
  readonly turnMs: readonly number[];
  readonly tokenMs: readonly number[];
  /** Of both callers, in a second. */
  readonly perSecond: number;
  readonly failed: number;
}

/** Median and 95th percentile of the light caller's waits, and what is promised of them. */
export async function benchLightCallerWait(
  bench: Bench,
): Promise<{ readonly table: Table; readonly targets: readonly Target[] }> {
  const engines = await startSimulatedEngines(bench, { count: engineCount, speed, maxNumSeqs });
  const measured: Waits[] = [];
  for (const scenario of scenarios) {
    bench.progress(`a light caller ${scenario.name}, ${scenario.policy}`);
    measured.push(await measure(bench, engines.urls, scenario));
  }
  await engines.child.stop();

  const p95 = measured.map(({ turnMs }) => percentile(turnMs, 0.95));
  return {
    table: {
      title: 'A light caller beside a heavy one',
      notes: [
        `${engineCount} simulated engines that work on ${maxNumSeqs} requests at a time, behind the Envoy that \`sluice router\` gives itself and Sluice with its defaults but for the policy. The light caller keeps ${lightRequests} requests under way, twice what the engines can take; the other one as many, or ${times} times as many. All are alike: prompts of ${digits(promptBytes)} bytes, streamed answers of ${tokens} tokens. *Waits* are the client’s, from sending a request to the head of its response, which engines send when they have the request, and to its first token: the second contains the engine’s own short queue. Shown are requests that the light caller sent once the other one had its queue.`,
        'Beside one that asks as much, half of the engines is what the light caller can have. A fair queue gives it the same half whatever the other one asks.',
      ],
      columns: [
        'the light caller',
        'policy',
        'wait p50, ms',
        'wait p95, ms',
        'first token p50, ms',
        'first token p95, ms',
        'its requests',
        'of both, /s',
        'failed',
      ],
      rows: scenarios.map(({ name, policy }, i) => {
        const { turnMs, tokenMs, perSecond, failed } = measured[i]!;
        return [
          name,
          policy,
          ...[turnMs, tokenMs].flatMap((waits) => [0.5, 0.95].map((share) => shown(waits, share))),
          digits(turnMs.length),
          digits(perSecond),
          digits(failed),
        ];
      }),
    },
    targets: [
      {
        what: 'p95 wait of a light caller beside a heavy one, vtc: twice that beside an equal one',
        atMost: Math.round(2 * p95[equal]!),
        unit: ' ms',
        measured: p95[heavyVtc]!,
      },
    ],
  };
}

async function measure(
  bench: Bench,
  engines: readonly string[],
  { policy, otherRequests }: Scenario,
): Promise<Waits> {
  const gateway = await startShippedGateway(bench, {
    name: `wait-${policy}-${otherRequests}`,
    engines,
    // Nobody's stream passes through Sluice: this is about waiting.
    moreUsage: 'sampleRate: 0',
    settings: `fairness: { enabled: true, policy: ${policy} }\nauth: { anonymous: { by: header, header: ${callerHeader} } }\n`,
  });
  const agent = new Agent({ keepAlive: true });
  const other = keepAsking(gateway, agent, 'other', otherRequests);
  // Until the engines are known to be full, and the queue is as long as it becomes.
  const settleMs = bench.quick ? 1000 : 3000;
  await delay(settleMs / 2);
  const light = keepAsking(gateway, agent, 'light', lightRequests);
  await delay(settleMs / 2);
  const lightBefore = light.sent();
  const endedBefore = light.ended() + other.ended();
  const startMs = performance.now();
  const died = Promise.race([gateway.envoy.failed, gateway.sluice.child.failed]);
  await Promise.race([delay(bench.quick ? 1000 : 7000), died]);
  const perSecond = ((light.ended() + other.ended() - endedBefore) * 1000) / (performance.now() - startMs);
  const [ofLight, ofOther] = await Promise.race([Promise.all([light.stop(), other.stop()]), died]);
  agent.destroy();
  await gateway.stop();
  const later = ofLight.slice(lightBefore);
  return {
    turnMs: later.map(({ headMs }) => headMs),
    tokenMs: later.map(({ firstEventMs }) => firstEventMs),
    perSecond,
    failed: [...ofLight, ...ofOther].filter(({ isComplete }) => !isComplete).length,
  };
}

interface Caller {
  /** Requests so far. */
  sent(): number;
  ended(): number;
  /** Sends no more, waits for the last reply, and returns all in the order in which their requests were sent. */
  stop(): Promise<readonly StreamedReply[]>;
}

/** Keeps so many requests of a caller under way. */
function keepAsking({ port }: ShippedGateway, agent: Agent, caller: string, requests: number): Caller {
  const replies: StreamedReply[] = [];
  let sent = 0;
  let ended = 0;
  let stopped = false;
  const ask = async (): Promise<void> => {
    while (!stopped) {
      const number = sent++;
      replies[number] = await streamedCompletion(
        port,
        number,
        { tokens, promptBytes, asksUsage: true, caller: [callerHeader, caller] },
        agent,
      );
      ended++;
    }
  };
  const all = Promise.all(Array.from({ length: requests }, ask));
  all.catch(() => undefined);
  return {
    sent: () => sent,
    ended: () => ended,
    async stop() {
      stopped = true;
      await all;
      return replies;
    },
  };
}

/** Empty where a quick run saw nothing. */
function shown(waitsMs: readonly number[], share: number): string {
  return waitsMs.length === 0 ? '' : digits(percentile(waitsMs, share));
}

function percentile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
