/** `vllm-router` as a child process in front of simulated engines, and what clients and operators see of it. */
import { randomUUID } from 'node:crypto';
import { startSimulatedEngine, type SimulatedEngine } from '../../src/engine-sim/server.ts';
import { startVllmRouter, type Child } from './child.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';
import { send, type Reply } from './http-client.ts';

export interface VllmRouter {
  readonly child: Child;
  readonly port: number;
  /** Where clients connect. */
  readonly url: string;
  readonly adminUrl: string;
  /** For `afterAll`: nothing of it is left when this resolves. */
  stop(): Promise<void>;
}

/** Starts one on a free port of 127.0.0.1 and waits until clients are answered; its engines may not be ready then. */
export async function startRouterProcess(args: readonly string[]): Promise<VllmRouter> {
  const port = await freePort();
  const child = startVllmRouter(['--port', String(port), ...args]);
  try {
    const serving = await child.line(/admin pages at http/);
    await child.line(/listens on/);
    return {
      child,
      port,
      url: `http://127.0.0.1:${port}`,
      adminUrl: /admin pages at (http:\/\/[^\s"]+)/.exec(serving)![1]!,
      async stop() {
        child.kill('SIGTERM');
        await Promise.race([child.exited, new Promise((resolve) => setTimeout(resolve, 5000).unref())]);
        await child.end();
      },
    };
  } catch (error) {
    await child.end();
    throw error;
  }
}

/** One engine for each model, fast and with a long memory. */
export function startEngines(models: readonly string[]): Promise<SimulatedEngine[]> {
  return Promise.all(
    models.map((model, seed) => startSimulatedEngine({ model, seed, speed: 50, requestLogSize: 2000 })),
  );
}

export function urls(engines: readonly SimulatedEngine[]): string {
  return engines.map(({ url }) => url).join(',');
}

/** What is asked for; two tokens of model `m`, if nothing else is said. */
interface Ask {
  readonly model?: string;
  readonly prompt?: string;
  readonly tokens?: number;
  readonly stream?: boolean;
  readonly headers?: Readonly<Record<string, string>>;
  /** More fields of the body. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

export function askBody({
  model = 'm',
  prompt = randomUUID(),
  tokens = 2,
  stream = false,
  fields = {},
}: Ask): string {
  return JSON.stringify({
    model,
    messages: [{ role: 'user', content: prompt }],
    max_tokens: tokens,
    ignore_eos: true,
    ...(stream && { stream, stream_options: { include_usage: true } }),
    ...fields,
  });
}

/** Sends a chat completion and reads the whole reply. */
export function ask({ port }: Pick<VllmRouter, 'port'>, asked: Ask = {}): Promise<Reply> {
  const headers = Object.entries({ 'content-type': 'application/json', ...asked.headers });
  return send(port, { body: askBody(asked), headers });
}

/** Which of the engines served a chat completion, by its index. */
export async function whoServes(
  router: Pick<VllmRouter, 'port'>,
  engines: readonly SimulatedEngine[],
  asked: Ask = {},
): Promise<number> {
  const id = randomUUID();
  const reply = await ask(router, { ...asked, headers: { 'x-request-id': id, ...asked.headers } });
  if (reply.status !== 200) throw new Error(`Answered ${reply.status}: ${reply.body}`);
  return engines.findIndex((engine) =>
    engine.requests().some(({ headers, status }) => headers['x-request-id'] === id && status === 200),
  );
}

/** Sends requests until each of the engines has served one since, as their model says. */
export async function untilAllServe(
  router: Pick<VllmRouter, 'port'>,
  engines: readonly SimulatedEngine[],
  models: readonly string[] = engines.map(() => 'm'),
): Promise<void> {
  const missing = new Set(engines.keys());
  await eventually(async () => {
    const [next] = missing;
    if (next === undefined) return true;
    const id = randomUUID();
    await ask(router, { model: models[next]!, headers: { 'x-request-id': id } });
    for (const [i, engine] of engines.entries())
      if (engine.requests().some(({ headers }) => headers['x-request-id'] === id)) missing.delete(i);
    return missing.size === 0;
  });
}

/** The samples of a metric on the page of a router or an engine: values by labels as written. */
export async function metric(
  { url }: Pick<VllmRouter, 'url'>,
  name: string,
): Promise<Readonly<Record<string, number>>> {
  const page = await (await fetch(`${url}/metrics`)).text();
  const found = page.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, 'gm'));
  return Object.fromEntries([...found].map(([, labels = '', value]) => [labels, Number(value)]));
}

/** All values of a metric together, of labels that hold `part`. */
export async function total(page: Pick<VllmRouter, 'url'>, name: string, part = ''): Promise<number> {
  const values = Object.entries(await metric(page, name)).filter(([labels]) => labels.includes(part));
  return values.reduce((sum, [, value]) => sum + value, 0);
}
