/** The two parts of an exchange that are Sluice's own thinking: reading the body, and deciding. */
import { digits, type Bench, type Section } from './bench.ts';
import { benchDecision } from './decision.ts';
import { benchParseBody } from './parse-body.ts';

const targetEndpoints = 100;

/** Time per decision by number of endpoints. */
export async function benchDecisions(bench: Bench): Promise<Section> {
  bench.progress('decisions');
  const figures = await benchDecision();
  return {
    title: 'A decision',
    notes: [
      'Filters, scorers, picker, learning and reserving for one request: the default profile, prompts of 4 KB in 2000 conversations with a common first kilobyte, a warm prefix index. In the process of the benchmark.',
    ],
    tables: [
      {
        columns: ['endpoints', 'mean', 'p50'],
        rows: figures.map((figure) => [
          digits(figure.endpoints),
          `${digits(figure.microseconds, 1)} µs`,
          `${digits(figure.p50Microseconds, 1)} µs`,
        ]),
      },
    ],
    targets: figures
      .filter(({ endpoints }) => endpoints === targetEndpoints)
      .map(({ microseconds }) => ({
        what: `decision among ${targetEndpoints} endpoints, mean`,
        atMost: 50,
        unit: ' µs',
        measured: microseconds,
      })),
  };
}

/** Time per body, by size and kind of text. */
export async function benchBodies(bench: Bench): Promise<Section> {
  bench.progress('reading bodies');
  const figures = await benchParseBody(bench.quick ? 30 : 150);
  return {
    title: 'Reading a body',
    notes: [
      'Finding the model, the prompt and the options in a request body without parsing it whole; the mean of the best of five runs. In the process of the benchmark.',
    ],
    tables: [
      {
        columns: ['body', 'bytes', 'time'],
        rows: figures.map(({ body, bytes, microseconds }) => [
          body,
          digits(bytes),
          `${digits(microseconds, 1)} µs`,
        ]),
      },
    ],
    targets: [],
  };
}
