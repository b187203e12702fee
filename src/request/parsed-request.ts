/** What is read from a request's path and body: the inference request before its model is resolved. */

/** Which API a path belongs to: it decides where the prompt and the token limits are, and which dialect errors speak. */
export type Api = 'chat' | 'completions' | 'embeddings' | 'responses' | 'messages' | 'by-model';

/** Replace bytes [start, end) of the body with `text`; start === end inserts. Edits never overlap. */
export interface BodyEdit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The outcome of one scan over the body. Offsets are byte offsets into it. */
export interface ParsedBody {
  readonly model: string;
  /** Span of the model's JSON string, quotes included, so that it can be spliced. */
  readonly modelSpan: { readonly start: number; readonly end: number };
  /** See InferenceRequest.promptHead. */
  readonly promptHead: Uint8Array;
  readonly promptBytes: number;
  readonly stream: boolean;
  /** `stream_options.include_usage` as the client sent it. */
  readonly includeUsage: boolean;
  /** Makes a streamed chat or completion report its usage; undefined where it does so anyway, or has no such option. */
  readonly usageEdit: BodyEdit | undefined;
  readonly maxOutputTokens: number | undefined;
  /** `user`, `session_id`, `prompt_cache_key` or `metadata.user_id`, the first that is a non-empty string, in that order. */
  readonly sessionKey: string | undefined;
}
