/** What is read from a request's path and body: the inference request before its model is resolved. */

/** Which API a path belongs to: it decides where the prompt and the token limits are, and which dialect errors speak. */
export type Api = 'chat' | 'completions' | 'embeddings' | 'responses' | 'messages' | 'by-model';

/** Replace bytes [start, end) of the body with `text`; start === end inserts. Edits never overlap. */
export interface BodyEdit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The model as a body names it, and where, so that another name can be put there. Offsets are byte offsets. */
export interface ModelField {
  readonly model: string;
  /** Span of the name as it is written; of a JSON string with its quotes. */
  readonly modelSpan: { readonly start: number; readonly end: number };
  /** How it is written there. */
  readonly modelForm: 'json-string' | 'plain';
}

/** The outcome of one scan over the body. */
export interface ParsedBody extends ModelField {
  /** See InferenceRequest.promptHead. */
  readonly promptHead: Uint8Array;
  readonly promptBytes: number;
  readonly stream: boolean;
  /** Whether the client of a stream is to see its usage: `stream_options`, unless its `include_usage` is false. */
  readonly includeUsage: boolean;
  /** Whether every chunk tells it, so that it is no sign of the end: vLLM's `continuous_usage_stats`. */
  readonly continuousUsage: boolean;
  /** Makes sure that a streamed chat or completion reports its usage; undefined where it does, or has no such option. */
  readonly usageEdit: BodyEdit | undefined;
  /** Upper bound of the output tokens of one choice. */
  readonly maxOutputTokens: number | undefined;
  /** How many answers are asked for: `n`, 1 where it is not said. */
  readonly choices: number;
  /** From the body alone, by the fields that may name a session. */
  readonly sessionKey: string | undefined;
}
