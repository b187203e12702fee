/** One ext_proc message as the rest of the room sees it: no protobuf beyond this point. */
import type { Headers } from '../lib/headers.ts';

/** How Envoy's filter is configured to send a body. */
export type BodyMode = 'none' | 'streamed' | 'buffered' | 'buffered-partial' | 'full-duplex' | 'grpc';

/** From the first message of a stream, on Envoy 1.34 and later. */
export interface ProtocolConfig {
  readonly requestBody: BodyMode;
  readonly responseBody: BodyMode;
}

/** CEL attribute values by name. */
export type Attributes = Readonly<Record<string, unknown>>;

/** Reads one namespace of Envoy's dynamic metadata; undefined where it is not there. */
export type MetadataReader = (namespace: string) => Readonly<Record<string, unknown>> | undefined;

export type Frame =
  | {
      readonly kind: 'request-headers' | 'response-headers';
      readonly headers: Headers;
      readonly endOfStream: boolean;
      readonly attributes: Attributes | undefined;
      readonly protocol: ProtocolConfig | undefined;
      /** Of a request's head only, and only where Envoy forwards metadata. */
      readonly metadata: MetadataReader | undefined;
    }
  | { readonly kind: 'request-body' | 'response-body'; readonly body: Buffer; readonly endOfStream: boolean }
  | { readonly kind: 'request-trailers' | 'response-trailers' }
  | { readonly kind: 'unknown' };
