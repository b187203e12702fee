/** What the API server of Kubernetes says, read when somebody asks. */
import { Counter, Gauge, type Registry } from 'prom-client';

/** One watch of the API server, since the start. */
export interface WatchFigures {
  /** What is watched, for people: closed by the configuration. */
  readonly resource: string;
  readonly lists: number;
  readonly events: number;
  /** By kind, a closed list. */
  readonly failures: Readonly<Partial<Record<string, number>>>;
}

/** Where engines are looked for. */
export interface SourceFigures {
  readonly source: string;
  readonly endpoints: number;
  /** Undefined while the API server answers. */
  readonly problem: string | undefined;
  readonly watches: readonly WatchFigures[];
}

/** Registers the series; the result makes them read from somewhere. There are none before, or where nothing is followed. */
export function registerKubernetesMetrics(
  registry: Registry,
  prefix: string,
): (read: () => readonly SourceFigures[]) => void {
  let read: () => readonly SourceFigures[] = () => [];
  const registers = [registry];
  const sourceGauges = [
    [
      'up',
      '1 where the API server answers for a source of endpoints, 0 where the last known ones are used.',
      isUp,
    ],
    ['endpoints', 'Endpoints of a source.', ({ endpoints }: SourceFigures): number => endpoints],
  ] as const;
  for (const [name, help, value] of sourceGauges) {
    new Gauge({
      name: `${prefix}kubernetes_source_${name}`,
      help,
      labelNames: ['source'],
      registers,
      collect() {
        this.reset();
        for (const figures of read()) this.set({ source: figures.source }, value(figures));
      },
    });
  }
  for (const [name, help] of [
    ['lists', 'Whole lists that the API server gave.'],
    ['events', 'Changes that the API server told of.'],
  ] as const) {
    new Counter({
      name: `${prefix}kubernetes_${name}_total`,
      help,
      labelNames: ['resource'],
      registers,
      collect() {
        this.reset();
        for (const { watches } of read())
          for (const watch of watches) this.inc({ resource: watch.resource }, watch[name]);
      },
    });
  }
  new Counter({
    name: `${prefix}kubernetes_failures_total`,
    help: 'Lists and watches that failed, by kind.',
    labelNames: ['resource', 'kind'],
    registers,
    collect() {
      this.reset();
      for (const { watches } of read()) {
        for (const { resource, failures } of watches)
          for (const [kind, count = 0] of Object.entries(failures)) this.inc({ resource, kind }, count);
      }
    },
  });
  return (next) => void (read = next);
}

function isUp({ problem }: SourceFigures): number {
  return problem === undefined ? 1 : 0;
}
