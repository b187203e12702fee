/** A simulated vLLM engine behind a real port: HTTP in front, the engine model on the real clock behind. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { Clock } from '../lib/clock.ts';
import { systemClock } from '../lib/clock.ts';
import { ApiError, anthropicError, httpError, openAiError } from './api-error.ts';
import { EngineDriver } from './engine-driver.ts';
import type { MetricsGeneration } from './engine-metrics-page.ts';
import { EngineMetricsPage } from './engine-metrics-page.ts';
import type { EngineStats } from './engine.ts';
import type { Sim } from './exchange.ts';
import { readJson, sendJson, sendText } from './exchange.ts';
import type { Fault, FaultInput } from './faults.ts';
import { Faults, faultSchema } from './faults.ts';
import type { EngineProfile } from './profile.ts';
import { defaultProfile } from './profile.ts';
import type { ReceivedRequest } from './request-log.ts';
import { RequestLog, describeBody } from './request-log.ts';
import type { Route } from './routes.ts';
import { routes } from './routes.ts';
import { ServedModels } from './served-models.ts';

export interface SimulatedEngineOptions {
  readonly model: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  readonly profile?: EngineProfile;
  /** Names of LoRA adapters loaded from the start. */
  readonly adapters?: readonly string[];
  /** Decides lengths and texts of answers; default 0. */
  readonly seed?: number;
  /** Virtual ms in one real ms; default 1. */
  readonly speed?: number;
  readonly metricsGeneration?: MetricsGeneration;
  /** How many received requests are remembered; default 100. */
  readonly requestLogSize?: number;
  readonly clock?: Clock;
}

export interface SimulatedEngine {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  setFault(fault: FaultInput): void;
  stats(): EngineStats;
  /** The last requests received, oldest first; those to `/sim`, `/metrics` and `/health` are not among them. */
  requests(): readonly ReceivedRequest[];
  /** Destroys every connection and ends every timer. */
  stop(): Promise<void>;
}

/** How long a port that was given up and taken by somebody else is left alone. */
const reopenRetryMs = 100;

/** Starts an engine; rejects where the port cannot be had. */
export async function startSimulatedEngine(options: SimulatedEngineOptions): Promise<SimulatedEngine> {
  const server = new SimServer(options);
  await server.listen(options.port ?? 0);
  return server;
}

class SimServer implements SimulatedEngine {
  readonly host: string;
  readonly #clock: Clock;
  readonly #sim: Sim;
  readonly #driver: EngineDriver;
  readonly #page: EngineMetricsPage;
  readonly #faults: Faults;
  readonly #log: RequestLog;
  readonly #server: Server;
  #port = 0;
  #stalePage = '';
  #reopening: { cancel(): void } | undefined;

  constructor(options: SimulatedEngineOptions) {
    const {
      model,
      host = '127.0.0.1',
      profile = defaultProfile,
      seed = 0,
      speed = 1,
      clock = systemClock,
    } = options;
    this.host = host;
    this.#clock = clock;
    const createdSeconds = clock.epochMs() / 1000;
    const generation = options.metricsGeneration ?? 'v1';
    this.#page = new EngineMetricsPage({ generation, model, profile, speed, createdSeconds });
    this.#driver = new EngineDriver({ profile, clock, speed, onEvent: (event) => this.#page.observe(event) });
    this.#faults = new Faults(seed);
    this.#log = new RequestLog(options.requestLogSize ?? 100);
    const models = new ServedModels(model, profile.maxModelLen, Math.floor(createdSeconds));
    for (const name of options.adapters ?? []) models.add(name);
    let ids = 0;
    this.#sim = { profile, seed, clock, models, driver: this.#driver, nextId: () => String(ids++) };
    this.#server = createServer((req, res) => void this.#serve(req, res));
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://${this.host.includes(':') ? `[${this.host}]` : this.host}:${this.#port}`;
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const fail = (error: Error): void => {
        reject(new Error(`Cannot listen on "${this.host}:${port}": ${whyNot(error)}`, { cause: error }));
      };
      this.#server.once('error', fail);
      this.#server.listen({ host: this.host, port }, () => {
        this.#server.off('error', fail);
        resolve();
      });
    });
    const address = this.#server.address();
    if (address !== null && typeof address === 'object') this.#port = address.port;
  }

  setFault(input: FaultInput): void {
    const fault = faultSchema.parse(input);
    if (fault.mode === 'stale-metrics') this.#stalePage = this.#renderPage();
    this.#faults.set(fault);
    this.#driver.setPace({
      slowdown: fault.mode === 'slow' ? fault.factor : 1,
      frozen: fault.mode === 'hang',
    });
    this.#reopen();
    if (fault.mode === 'refuse') this.#refuse(fault.forMs);
  }

  stats(): EngineStats {
    return this.#driver.stats();
  }

  requests(): readonly ReceivedRequest[] {
    return this.#log.list();
  }

  async stop(): Promise<void> {
    this.#reopening?.cancel();
    this.#reopening = undefined;
    this.#driver.stop();
    if (!this.#server.listening) return;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const path = (req.url ?? '/').split('?', 1)[0] ?? '/';
    const entry = isObserved(path) ? this.#remember(req, res) : undefined;
    res.setHeader('server', 'uvicorn');
    try {
      // The whole body first: the engine queues nothing before it has it.
      const body = await readBody(req);
      if (entry !== undefined) entry.body = describeBody(body);
      if (path.startsWith('/sim/')) this.#control(req, res, path, body);
      else if (path === '/metrics') await this.#answerMetrics(res);
      else await this.#answer(req, res, path, body);
    } catch (error) {
      replyError(res, error, routes.get(path)?.dialect ?? 'openai');
    }
  }

  #remember(req: IncomingMessage, res: ServerResponse): ReceivedRequest {
    const { method = '', url = '', httpVersion, headers } = req;
    const entry = this.#log.add({
      atEpochMs: this.#clock.epochMs(),
      method,
      path: url,
      httpVersion,
      headers,
    });
    res.once('close', () => {
      if (res.headersSent) entry.status = res.statusCode;
      entry.outcome = res.writableFinished ? 'completed' : 'aborted';
    });
    return entry;
  }

  async #answer(req: IncomingMessage, res: ServerResponse, path: string, body: Buffer): Promise<void> {
    const route = routes.get(path);
    if (route === undefined) throw httpError(404);
    if (!route.methods.includes(req.method ?? '')) throw httpError(405);
    const { current } = this.#faults;
    if (current.mode === 'hang' && current.scope === 'http') await this.#faults.replaced();
    this.#strike(route, path, res);
    if (res.destroyed) return;
    const dropAfterTokens = route.inference ? this.#dropAfterTokens() : undefined;
    route.handle(this.#sim, { headers: req.headers, body, res, dropAfterTokens });
  }

  /** Applies the faults that end a request before the engine hears of it. */
  #strike(route: Route, path: string, res: ServerResponse): void {
    if ((route.inference || path === '/health') && this.#faults.strikes('unavailable-503')) {
      throw new ApiError(
        503,
        'Service Unavailable',
        'EngineCore encountered an issue. See stack trace (above) for the root cause.',
      );
    }
    if (!route.inference) return;
    if (this.#faults.strikes('error-500'))
      throw new ApiError(500, 'Internal Server Error', 'Simulated engine failure');
    if (this.#faults.strikes('reset')) res.destroy();
  }

  #dropAfterTokens(): number | undefined {
    const { current } = this.#faults;
    return current.mode === 'drop-mid-stream' && this.#faults.strikes('drop-mid-stream')
      ? current.afterTokens
      : undefined;
  }

  async #answerMetrics(res: ServerResponse): Promise<void> {
    for (;;) {
      const { current } = this.#faults;
      if (current.mode !== 'hang-metrics' && !(current.mode === 'hang' && current.scope === 'http')) break;
      await this.#faults.replaced();
    }
    const page = this.#faults.current.mode === 'stale-metrics' ? this.#stalePage : this.#renderPage();
    sendText(res, 200, page, 'text/plain; version=0.0.4; charset=utf-8');
  }

  #renderPage(): string {
    const lora = this.#sim.models.hadAdapters ? { nowSeconds: this.#clock.epochMs() / 1000 } : undefined;
    return this.#page.render(this.#driver.stats(), lora);
  }

  #control(req: IncomingMessage, res: ServerResponse, path: string, body: Buffer): void {
    switch (`${req.method ?? ''} ${path}`) {
      case 'GET /sim/faults':
        sendJson(res, 200, this.#faults.current);
        return;
      case 'POST /sim/faults':
        this.#answerFault(res, readJson(body, faultSchema));
        return;
      case 'GET /sim/requests':
        sendJson(res, 200, { requests: this.#log.list() });
        return;
      case 'DELETE /sim/requests':
        this.#log.clear();
        sendJson(res, 200, { requests: [] });
        return;
      case 'GET /sim/state':
        sendJson(res, 200, this.#driver.stats());
        return;
      default:
        throw httpError(404);
    }
  }

  /** A port that refuses cannot answer: that fault begins when its own reply is out. */
  #answerFault(res: ServerResponse, fault: Fault): void {
    if (fault.mode === 'refuse') res.once('finish', () => this.setFault(fault));
    else this.setFault(fault);
    sendJson(res, 200, fault);
  }

  #refuse(forMs: number): void {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#reopening = this.#clock.after(forMs, () => this.setFault({ mode: 'none' }));
  }

  #reopen(): void {
    if (this.#reopening === undefined) return;
    this.#reopening.cancel();
    this.#reopening = undefined;
    // Somebody else may have taken the port meanwhile: then it is tried again.
    this.listen(this.#port).catch(() => {
      this.#reopening = this.#clock.after(reopenRetryMs, () => this.#reopen());
    });
  }
}

/** Probes and scrapes would drown the requests that tests ask about. */
function isObserved(path: string): boolean {
  return !path.startsWith('/sim/') && path !== '/metrics' && path !== '/health';
}

async function readBody(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of req) if (chunk instanceof Buffer) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function replyError(res: ServerResponse, error: unknown, dialect: Route['dialect']): void {
  // A client that left while it was still sending: there is nobody to answer.
  if (res.destroyed) return;
  if (res.headersSent) {
    res.destroy();
    return;
  }
  const known = error instanceof ApiError ? error : new ApiError(500, 'Internal Server Error', String(error));
  sendJson(res, known.status, dialect === 'anthropic' ? anthropicError(known) : openAiError(known));
}

function whyNot(error: Error): string {
  return 'code' in error && error.code === 'EADDRINUSE' ? 'the port is in use' : error.message;
}
