/** What the main path needs from one HTTP request and its response. Envoy's protocol stays behind this door. */
import type { Headers } from '../lib/headers.ts';
import type { BodyEdit } from './parsed-request.ts';

export interface RequestHead {
  readonly method: string;
  /** As the client sent it and Envoy normalised it, query included. */
  readonly path: string;
  readonly headers: Headers;
  /** False when the head is all there is: no body message will follow. */
  readonly hasBody: boolean;
  /** The client's IP address as Envoy believes it, without a port; undefined where Envoy does not tell it. */
  readonly clientAddress: string | undefined;
  /**
   * What Envoy's other filters found out about the request and wrote under `namespace`: nothing that a client could have
   * written. Undefined where there is nothing, or where Envoy does not tell it. Decoded at each call.
   */
  metadata(namespace: string): Readonly<Record<string, unknown>> | undefined;
}

/** A reply that never reaches an engine. */
export interface LocalReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** A word for Envoy's RESPONSE_CODE_DETAILS, without spaces. */
  readonly details: string;
}

/** Where Envoy shall send the request, and what it changes on the way. */
export interface Route {
  /** Endpoint ids, best first: Envoy tries them in this order. */
  readonly destinations: readonly string[];
  /** Model name, for Envoy's logs. */
  readonly model: string;
  /** Changes to the body, none in most exchanges. */
  readonly edits: readonly BodyEdit[];
  /** Header names to remove. */
  readonly removeHeaders: readonly string[];
  /** Header names and values to set, replacing what is there. */
  readonly setHeaders: Readonly<Record<string, string>>;
  /** Changes to the head of the engine's response. Errors that Envoy answers with itself do not get them. */
  readonly responseHeaders?: HeaderChanges | undefined;
}

/**
 * Changes to headers, made in this order. Names are in lower case. A name or value that HTTP does not allow fails the
 * exchange.
 */
export interface HeaderChanges {
  /** Names to remove. */
  readonly remove: readonly string[];
  /** Names and values to set, replacing what is there. */
  readonly set: Readonly<Record<string, string>>;
  /** Names and values to add to what is there. */
  readonly append: Readonly<Record<string, string>>;
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: Headers;
  /** The endpoint id that answered, where Envoy says it. */
  readonly servedBy: string | undefined;
  /** How many endpoints Envoy tried, where it says it. */
  readonly attempts: number | undefined;
}

/** Gets response body bytes as the engine sends them, in order. */
export interface BodyObserver {
  push(chunk: Buffer): void;
}

/** Says what the client gets of a response body. */
export interface BodyFilter {
  /**
   * What passes on in place of a chunk: the chunk itself where nothing is changed, and nothing is the empty buffer. It is
   * valid until the next call.
   */
  push(chunk: Buffer): Buffer;
  /** The body is whole: what was held back until now and passes all the same. */
  end(): Buffer;
}

/** How Envoy ended the exchange. */
export interface ExchangeEnd {
  /** `undefined` where it cannot be told: the response body was not observed. */
  readonly bodyComplete: boolean | undefined;
}

/**
 * One HTTP request and its response, pulled in order: head, body, then exactly one of `reply` and `route`; after `route`,
 * `responseHead`, then `finish`. After the client left, `reply` does nothing and what waits returns.
 */
export interface Exchange {
  /** Unguessable; also written into Envoy's metadata, so that its access log entry can be matched. */
  readonly id: string;
  readonly head: RequestHead;
  /** Aborted when the exchange ended while we owe it an answer: the client left. */
  readonly signal: AbortSignal;
  /**
   * The whole request body, once. Valid until the exchange is routed.
   * @throws Rejection `body-too-large` over `maxBytes`.
   * @throws ClientGone when the client left before the body was complete.
   */
  body(maxBytes: number): Promise<Buffer>;
  /** The body will be sent on as it came: it need not be kept here, where Envoy keeps it. Call after `body`, if at all. */
  dropBody(): void;
  /** Asks Envoy to wait up to `timeoutMs` for the answer that is owed; at most once, ignored where Envoy has no room. */
  extendTimeout(timeoutMs: number): void;
  /** Answers in the engine's place. */
  reply(reply: LocalReply): void;
  /**
   * Lets Envoy send the request on.
   * @throws ClientGone when nobody is there any more.
   */
  route(route: Route): void;
  /** The response's head, or undefined when the exchange ended without one (Envoy's own error, or the client left). */
  responseHead(): Promise<ResponseHead | undefined>;
  /**
   * Lets the response pass, showing its body to `observer` where there is one and Envoy can; waits for its end. What is
   * shown passes through `filter`, where there is one.
   */
  finish(observer: BodyObserver | undefined, filter?: BodyFilter): Promise<ExchangeEnd>;
}

/** The client left while an answer was owed: nobody is there to be told. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}
