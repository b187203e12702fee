/** Sluice's debug pages as tests read them. */
import { eventually } from './eventually.ts';
import type { ExchangeLine, Gateway } from './gateway.ts';

/** An endpoint of `/debug/endpoints`. */
export interface EndpointView {
  readonly id: string;
  readonly inFlight: number;
  readonly health: { readonly kind: string; readonly reason?: string };
  readonly metrics?: {
    readonly waiting?: number;
    readonly running?: number;
    readonly ttftSeconds?: number;
  };
}

/** The part of `/debug/decisions` that is read here. */
interface DecisionPage {
  readonly decisions: readonly {
    readonly ranked: readonly { readonly endpoint: string }[];
    readonly scorers: readonly { readonly name: string; readonly scores: Readonly<Record<string, number>> }[];
  }[];
}

/** What was decided for an exchange. */
export interface DecisionView {
  /** Endpoints in the order in which they are tried. */
  readonly ranked: readonly string[];
  /** Scores by endpoint, of one scorer. */
  scores(scorer: string): Readonly<Record<string, number>>;
}

type Pages = Pick<Gateway, 'admin'>;

export async function endpoints(gateway: Pages): Promise<readonly EndpointView[]> {
  const page = (await gateway.admin('/debug/endpoints')) as { readonly endpoints: readonly EndpointView[] };
  return page.endpoints;
}

/** The decision of a routed exchange. */
export async function decisionOf(gateway: Pages, { exchange }: ExchangeLine): Promise<DecisionView> {
  const page = (await gateway.admin(`/debug/decisions?request=${exchange}`)) as DecisionPage;
  const decision = page.decisions[0];
  if (decision === undefined) throw new Error(`No decision for ${exchange}`);
  return {
    ranked: decision.ranked.map(({ endpoint }) => endpoint),
    scores: (scorer) => decision.scorers.find(({ name }) => name === scorer)?.scores ?? {},
  };
}

/** A sample of `/metrics`, of a metric without labels; undefined where there is none. */
export async function sample(
  gateway: Pick<Gateway, 'adminUrl'>,
  metric: string,
): Promise<number | undefined> {
  const page = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  const value = new RegExp(`^${metric} (\\S+)$`, 'm').exec(page)?.[1];
  return value === undefined ? undefined : Number(value);
}

/** Waits until nothing is in flight any more, by every account of it. */
export async function untilIdle(gateway: Pick<Gateway, 'adminUrl' | 'inFlight'>): Promise<void> {
  await eventually(async () => (await gateway.inFlight()) === 0);
  await eventually(async () => (await sample(gateway, 'sluice_exchanges_active')) === 0);
  await eventually(async () => (await sample(gateway, 'sluice_extproc_streams_active')) === 0);
}
