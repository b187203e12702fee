/**
 * Envoy's gRPC access log, matched to exchanges: the cheap way to learn how an exchange ended, who served it and what it
 * used, exact even for clients that hang up at `[DONE]`. An entry is matched by the exchange id that our own answer wrote
 * into Envoy's metadata, never by anything a client sent.
 */
import protobuf from 'protobufjs/minimal.js';
import type { Clock, Timer } from '../lib/clock.ts';
import { readMap, readStruct } from '../lib/protobuf-struct.ts';
import { endpointId } from '../endpoints/endpoint.ts';
import type { AccessLog, AccessLogEntry } from '../request/access-log.ts';

const { Reader } = protobuf;

/** An AccessLog that Envoy's log stream feeds. */
export interface EnvoyAccessLog extends AccessLog {
  /** Takes one StreamAccessLogsMessage from Envoy. */
  receive(message: Buffer): void;
  /** Gives up all that is still waited for. */
  stop(): void;
}

export interface AccessLogOptions {
  /** How long after its end an exchange's entry is waited for. */
  readonly timeoutMs: number;
  /** The Envoy is configured by us and known to send entries: reliable before the first one came. */
  readonly trusted: boolean;
  readonly onEntry?: (result: 'matched' | 'unmatched' | 'missed') => void;
}

interface Pending {
  entry: AccessLogEntry | undefined;
  resolve: ((entry: AccessLogEntry | undefined) => void) | undefined;
  deadlineMs: number;
}

export function createAccessLog(deps: { readonly clock: Clock }, options: AccessLogOptions): EnvoyAccessLog {
  const pending = new Map<string, Pending>();
  /** Claims in the order of their deadlines: the timeout is one for all, so that order is the order of asking. */
  let due: { readonly id: string; readonly claim: Pending }[] = [];
  let sweep: Timer | undefined;
  let reliable = options.trusted;

  function sweepDue(): void {
    sweep = undefined;
    const nowMs = deps.clock.nowMs();
    let expired = 0;
    for (const { id, claim } of due) {
      if (claim.deadlineMs > nowMs) break;
      expired++;
      if (!pending.delete(id)) continue;
      reliable = options.trusted;
      options.onEntry?.('missed');
      claim.resolve?.(undefined);
    }
    due = due.slice(expired);
    scheduleSweep();
  }

  function scheduleSweep(): void {
    if (sweep === undefined && due.length > 0) sweep = deps.clock.after(options.timeoutMs / 4, sweepDue);
  }

  function startDeadline(id: string, claim: Pending): void {
    claim.deadlineMs = deps.clock.nowMs() + options.timeoutMs;
    due.push({ id, claim });
    scheduleSweep();
  }

  return {
    get reliable() {
      return reliable;
    },

    claim(exchangeId) {
      const claim: Pending = { entry: undefined, resolve: undefined, deadlineMs: Infinity };
      pending.set(exchangeId, claim);
      return {
        entry() {
          if (!pending.has(exchangeId)) return Promise.resolve(claim.entry);
          startDeadline(exchangeId, claim);
          return new Promise((resolve) => {
            claim.resolve = resolve;
          });
        },
        abandon() {
          if (pending.has(exchangeId)) startDeadline(exchangeId, claim);
        },
      };
    },

    receive(message) {
      decodeAccessLog(message, (exchangeId, entry) => {
        const claim = exchangeId === undefined ? undefined : pending.get(exchangeId);
        if (claim === undefined) {
          options.onEntry?.('unmatched');
          return;
        }
        pending.delete(exchangeId!);
        claim.entry = entry;
        // An Envoy without the usage filters sends entries too: they say how exchanges ended, not what they used.
        if (entry.usage !== undefined) reliable = true;
        options.onEntry?.('matched');
        claim.resolve?.(entry);
      });
    },

    stop() {
      sweep?.cancel();
      for (const claim of pending.values()) claim.resolve?.(undefined);
      pending.clear();
      due = [];
    },
  };
}

/** Decodes the HTTP entries of one StreamAccessLogsMessage. The exchange id is undefined for requests we did not route. */
export function decodeAccessLog(
  message: Buffer,
  onEntry: (exchangeId: string | undefined, entry: AccessLogEntry) => void,
): void {
  const reader = Reader.create(message);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag !== 18) {
      // http_logs = 2
      reader.skipType(tag & 7);
      continue;
    }
    const end = reader.uint32() + reader.pos;
    while (reader.pos < end) {
      const field = reader.uint32();
      if (field === 10) readEntry(reader, onEntry);
      else reader.skipType(field & 7);
    }
  }
}

function readEntry(
  reader: protobuf.Reader,
  onEntry: (exchangeId: string | undefined, entry: AccessLogEntry) => void,
): void {
  let common: Common = noCommon;
  let response: Response = noResponse;
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 10) common = readCommon(reader);
    else if (tag === 34) response = readResponse(reader);
    else reader.skipType(tag & 7);
  }
  const { exchangeId, ...rest } = common;
  onEntry(exchangeId, { ...rest, ...response });
}

type Common = Omit<AccessLogEntry, keyof Response> & { readonly exchangeId: string | undefined };
type Response = Pick<AccessLogEntry, 'status' | 'details' | 'responseBytes'>;

const noCommon: Common = {
  exchangeId: undefined,
  clientClosed: false,
  upstreamFailed: false,
  servedBy: undefined,
  attempts: undefined,
  durationMs: undefined,
  usage: undefined,
};
const noResponse: Response = { status: 0, details: '', responseBytes: 0 };

function readCommon(reader: protobuf.Reader): Common {
  let { exchangeId, clientClosed, upstreamFailed, servedBy, attempts, durationMs, usage }: Common = noCommon;
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 106: // upstream_remote_address = 13
        servedBy = readAddress(reader);
        break;
      case 130: {
        // response_flags = 16
        const flagsEnd = reader.uint32() + reader.pos;
        while (reader.pos < flagsEnd) {
          const flag = reader.uint32();
          if (clientLeft.has(flag >>> 3)) clientClosed = true;
          else if (upstreamFailures.has(flag >>> 3)) upstreamFailed = true;
          reader.skipType(flag & 7);
        }
        break;
      }
      case 138: // metadata = 17
        readMap(reader, reader.uint32() + reader.pos, 1, (namespace, valueEnd) => {
          if (namespace === 'sluice') {
            const id = readStruct(reader, valueEnd)['exchange'];
            if (typeof id === 'string') exchangeId = id;
          } else if (namespace === 'sluice.usage') {
            usage = readStruct(reader, valueEnd);
          }
        });
        break;
      case 186: // duration = 23
        durationMs = readDurationMs(reader);
        break;
      case 192: // upstream_request_attempt_count = 24
        attempts = reader.uint32();
        break;
      default:
        reader.skipType(tag & 7);
    }
  }
  return { exchangeId, clientClosed, upstreamFailed, servedBy, attempts, durationMs, usage };
}

/** ResponseFlags for a client that left: downstream_connection_termination, downstream_remote_reset (HTTP/2). */
const clientLeft = new Set([15, 28]);
/**
 * ResponseFlags that say the engine failed: no_healthy_upstream, upstream_request_timeout, upstream_remote_reset,
 * upstream_connection_failure, upstream_connection_termination, upstream_overflow, upstream_retry_limit_exceeded,
 * stream_idle_timeout, upstream_max_stream_duration_reached, duration_timeout, upstream_protocol_error (an engine that
 * dies in the middle of a chunked body).
 */
const upstreamFailures = new Set([2, 3, 5, 6, 7, 8, 16, 17, 20, 23, 24]);

function readResponse(reader: protobuf.Reader): Response {
  let { status, details, responseBytes }: Response = noResponse;
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    const tag = reader.uint32();
    switch (tag) {
      case 10: {
        // response_code = 1 {value = 1}
        const valueEnd = reader.uint32() + reader.pos;
        while (reader.pos < valueEnd) {
          const field = reader.uint32();
          if (field === 8) status = reader.uint32();
          else reader.skipType(field & 7);
        }
        break;
      }
      case 24: // response_body_bytes = 3
        responseBytes = Number(reader.uint64());
        break;
      case 50: // response_code_details = 6
        details = reader.string();
        break;
      default:
        reader.skipType(tag & 7);
    }
  }
  return { status, details, responseBytes };
}

/** Address {socket_address = 1 {address = 2, port_value = 3}}. */
function readAddress(reader: protobuf.Reader): string | undefined {
  let host = '';
  let port = 0;
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag !== 10) {
      reader.skipType(tag & 7);
      continue;
    }
    const socketEnd = reader.uint32() + reader.pos;
    while (reader.pos < socketEnd) {
      const field = reader.uint32();
      if (field === 18) host = reader.string();
      else if (field === 24) port = reader.uint32();
      else reader.skipType(field & 7);
    }
  }
  return host === '' ? undefined : endpointId(host, port);
}

/** Duration {seconds = 1, nanos = 2}. */
function readDurationMs(reader: protobuf.Reader): number {
  let ms = 0;
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (tag === 8) ms += Number(reader.int64()) * 1000;
    else if (tag === 16) ms += reader.int32() / 1e6;
    else reader.skipType(tag & 7);
  }
  return ms;
}
