/** An Exchange whose Envoy is the test: it sends what the test says, when the test says it, and keeps what it is told. */
import { Headers } from '../../src/lib/headers.ts';
import {
  ClientGone,
  type BodyFilter,
  type BodyObserver,
  type Exchange,
  type ExchangeEnd,
  type LocalReply,
  type RequestHead,
  type ResponseHead,
  type Route,
} from '../../src/request/exchange.ts';
import { Rejection } from '../../src/request/rejection.ts';
import { spliceBody } from '../../src/request/splice.ts';

/** What a test says of a head; `metadata` by namespace. */
export interface KnownHead extends Partial<Omit<RequestHead, 'metadata'>> {
  readonly fields?: Record<string, string>;
  readonly metadata?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** A POST with a JSON body to come, unless said otherwise. */
export function aHead(known: KnownHead = {}): RequestHead {
  const { fields = {}, metadata = {}, ...head } = known;
  return {
    method: 'POST',
    path: '/v1/chat/completions',
    headers: Headers.of({ 'content-type': 'application/json', ...fields }),
    hasBody: true,
    clientAddress: undefined,
    metadata: (namespace) => metadata[namespace],
    ...head,
  };
}

export class FakeExchange implements Exchange {
  readonly id: string;
  readonly head: RequestHead;
  /** What was answered in the engine's place, and where the request was sent: one of both at most, as Envoy takes it. */
  readonly replies: LocalReply[] = [];
  readonly routes: Route[] = [];
  /** Calls that the contract does not allow; a test expects none. */
  readonly misuses: string[] = [];
  /** Who looks at the response body; undefined before `finish`, and where nobody does. */
  observer: BodyObserver | undefined;
  #filter: BodyFilter | undefined;
  readonly #received: Buffer[] = [];
  #calls: string[] = [];
  #body: Buffer | undefined;
  #response: ResponseHead | undefined;
  #end: ExchangeEnd | undefined;
  readonly #abort = new AbortController();
  #wake: () => void = () => undefined;

  constructor(head: RequestHead = aHead(), id = 'exchange-1') {
    this.head = head;
    this.id = id;
  }

  /** The request body arrives, whole. */
  sendBody(body: string | object): void {
    this.#body = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    this.#wake();
  }

  /** The response's head arrives. */
  respond(known: Partial<ResponseHead> & { fields?: Record<string, string> } = {}): void {
    const { fields = { 'content-type': 'text/event-stream' }, ...head } = known;
    this.#response ??= {
      status: 200,
      headers: Headers.of(fields),
      servedBy: undefined,
      attempts: undefined,
      ...head,
    };
    this.#wake();
  }

  /** A piece of the response body passes. */
  pass(chunk: string): void {
    if (this.#end !== undefined) return;
    const bytes = Buffer.from(chunk);
    this.observer?.push(bytes);
    this.#received.push(Buffer.from(this.#filter?.push(bytes) ?? bytes));
  }

  /** The response body as far as the client got it. */
  get received(): string {
    return Buffer.concat(this.#received).toString();
  }

  /** Envoy ends the exchange: the client left, or all was sent. */
  close(bodyComplete?: boolean): void {
    if (this.#end === undefined && bodyComplete === true && this.#filter !== undefined)
      this.#received.push(this.#filter.end());
    this.#end ??= { bodyComplete };
    if (!this.decided) this.#abort.abort();
    this.#wake();
  }

  get decided(): boolean {
    return this.replies.length + this.routes.length > 0;
  }

  /** The body as the engine gets it; undefined before it is routed. */
  get sentOn(): string | undefined {
    const [route] = this.routes;
    return route && this.#body && spliceBody(this.#body, route.edits).toString();
  }

  /** How far the main path has come: the names of the calls so far. */
  get calls(): readonly string[] {
    return this.#calls;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  async body(maxBytes: number): Promise<Buffer> {
    this.#called('body', !this.decided && !this.#calls.includes('body'));
    while (this.#body === undefined && this.#end === undefined && this.#response === undefined)
      await this.#change();
    if (this.#body === undefined) throw new ClientGone();
    if (this.#body.length > maxBytes) throw new Rejection('body-too-large', 'too large');
    return this.#body;
  }

  dropBody(): void {
    this.#called('dropBody', !this.decided && this.#calls.includes('body'));
  }

  extendTimeout(): void {
    this.#called('extendTimeout', !this.decided);
  }

  reply(reply: LocalReply): void {
    this.#called('reply', true);
    if (this.#end === undefined && !this.decided) this.replies.push(reply);
  }

  route(route: Route): void {
    this.#called('route', !this.decided);
    if (this.#end !== undefined) throw new ClientGone();
    this.routes.push(route);
  }

  async responseHead(): Promise<ResponseHead | undefined> {
    this.#called('responseHead', this.routes.length === 1);
    while (this.#response === undefined && this.#end === undefined) await this.#change();
    return this.#response;
  }

  async finish(observer: BodyObserver | undefined, filter?: BodyFilter): Promise<ExchangeEnd> {
    this.#called('finish', this.#calls.includes('responseHead') && !this.#calls.includes('finish'));
    this.observer = observer;
    this.#filter = filter;
    while (this.#end === undefined) await this.#change();
    return observer === undefined ? { bodyComplete: undefined } : this.#end;
  }

  #called(name: string, allowed: boolean): void {
    if (!allowed) this.misuses.push(`${name} after ${this.#calls.join(', ')}`);
    this.#calls.push(name);
  }

  #change(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }
}
