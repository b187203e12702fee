/** Sluice's metrics page as tests read it. */
import type { Gateway } from './gateway.ts';

/** The samples of a metric by their labels, written as on the page. */
export async function samples(
  gateway: Pick<Gateway, 'adminUrl'>,
  metric: string,
): Promise<ReadonlyMap<string, number>> {
  const page = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  const found = page.matchAll(new RegExp(`^${metric}\\{(.*)\\} (\\S+)$`, 'gm'));
  return new Map([...found].map(([, labels = '', value]) => [labels, Number(value)]));
}
