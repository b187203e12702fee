/** How far what callers get is from their shares, by policy: a queue in virtual time (fairness-simulation.ts). */
import { digits, type Bench, type Drawing, type Table, type Target } from './bench.ts';
import {
  serviceGap,
  simulateFairness,
  type ServiceSample,
  type SimulatedClient,
  type SimulatedPolicy,
} from './fairness-simulation.ts';
import { drawLinePlot } from './line-plot.ts';

const policies = ['vtc', 'window', 'fifo'] as const satisfies readonly SimulatedPolicy[];
const slots = 16;
const minutes = 10;
/** Twice as many as there are slots: whoever has them always has somebody waiting. */
const backlog = 2 * slots;
const times = 10;
const inputTokens = [100, 1000] as const;
const outputTokens = [50, 350] as const;
const mostTokens = inputTokens[1] + 2 * outputTokens[1];

interface Scenario {
  readonly name: string;
  readonly clients: readonly SimulatedClient[];
}

const scenarios: readonly Scenario[] = [
  {
    name: `two alike, one sends ${times} × as much`,
    clients: [client('light', 1, backlog), client('heavy', 1, times * backlog)],
  },
  {
    name: 'four with weights 1 : 2 : 3 : 4',
    clients: [1, 2, 3, 4].map((weight) => client(`weight ${weight}`, weight, backlog)),
  },
];

interface Run {
  readonly scenario: Scenario;
  readonly policy: SimulatedPolicy;
  readonly samples: readonly ServiceSample[];
}

/** The gap between who got most and who got least, against their shares: a table, a drawing, and what was promised. */
export async function benchServiceGap(
  bench: Bench,
): Promise<{ readonly table: Table; readonly targets: readonly Target[] }> {
  const runs: Run[] = [];
  for (const scenario of scenarios) {
    for (const policy of policies) {
      bench.progress(`service gap, ${scenario.name}, ${policy}`);
      runs.push({ scenario, policy, samples: await simulate(scenario, policy) });
    }
  }
  return { table: table(runs), targets: targets(runs) };
}

function client(name: string, weight: number, requests: number): SimulatedClient {
  return { name, weight, backlog: requests, inputTokens, outputTokens };
}

function simulate({ clients }: Scenario, policy: SimulatedPolicy): Promise<readonly ServiceSample[]> {
  return simulateFairness({ policy, clients, slots, durationMs: minutes * 60_000, sampleEveryMs: 1000 });
}

/** Between two flows that always have somebody waiting: twice what the turns under way may cost. */
const promisedGap = 2 * slots * mostTokens;

function table(runs: readonly Run[]): Table {
  return {
    title: 'Service gap',
    notes: [
      `The queue and the policies as they are, in virtual time: engines that serve ${slots} requests at once, and callers that always have more waiting, for ${minutes} minutes; ${backlog} requests at a time each, the heavy one ${times * backlog}. Prompts have ${inputTokens.join(' to ')} tokens and answers ${outputTokens.join(' to ')}, which is not known before. Every run is the same.`,
      `*Service* is weighted tokens (output counts twice), and the *gap* that between who got most and who got least of it, divided by their weights: 0 is what each should have. VTC promises that it does not grow with time, here that it stays below ${digits(promisedGap)}. Whoever is there first takes all free slots, which VTC holds against nobody: that is most of its gap, from the first seconds on. \`window\` looks at no weights, and \`fifo\` at nobody.`,
    ],
    columns: [
      'callers',
      'policy',
      'fair share',
      'share they got',
      'largest gap',
      'gap at the end',
      'service in all',
    ],
    rows: runs.map(({ scenario: { name, clients }, policy, samples }) => {
      const { service } = samples.at(-1)!;
      return [
        name,
        policy,
        percentages(clients.map(({ weight }) => weight)),
        percentages(service),
        digits(serviceGap(samples, clients)),
        digits(serviceGap(samples.slice(-1), clients)),
        digits(sum(service)),
      ];
    }),
    drawing: drawing(runs),
  };
}

function targets(runs: readonly Run[]): Target[] {
  return runs
    .filter(({ policy }) => policy === 'vtc')
    .map(({ scenario: { name, clients }, samples }) => ({
      what: `service gap of callers that always wait, vtc, ${name}`,
      atMost: promisedGap,
      unit: ' weighted tokens',
      measured: serviceGap(samples, clients),
    }));
}

const strokes = { vtc: 'strong', window: 'pale', fifo: 'dashed' } as const;
/** Enough for a line. */
const drawnEvery = 10;

function drawing(runs: readonly Run[]): Drawing {
  const title = 'Service gap, in weighted tokens by weight';
  const panels = scenarios.map((scenario) => ({
    title: scenario.name,
    lines: runs
      .filter((run) => run.scenario === scenario)
      .map(({ policy, samples }) => ({
        name: policy,
        stroke: strokes[policy],
        points: samples
          .filter((_, i) => i % drawnEvery === drawnEvery - 1)
          .map((sample) => [sample.atMs / 60_000, serviceGap([sample], scenario.clients)] as const),
      })),
  }));
  return { name: 'service-gap.svg', title, svg: drawLinePlot({ title, xUnit: 'min', panels }) };
}

function percentages(values: readonly number[]): string {
  const total = sum(values);
  return values.map((value) => `${digits((100 * value) / total, 1)} %`).join(' / ');
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
