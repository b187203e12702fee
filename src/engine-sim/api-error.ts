/** Expected refusals of the simulated engine, worded and shaped like vLLM's. */

/** Ends a request with an error reply. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** `error.type` of the reply. */
  readonly type: string;
  readonly param: string | null;

  constructor(status: number, type: string, message: string, param: string | null = null) {
    super(message);
    this.status = status;
    this.type = type;
    this.param = param;
  }
}

/** The body of an error reply of the OpenAI endpoints. */
export function openAiError(error: ApiError): unknown {
  return { error: { message: error.message, type: error.type, param: error.param, code: error.status } };
}

/** The body of an error reply of the Anthropic endpoints. */
export function anthropicError(error: ApiError): unknown {
  return { type: 'error', error: { type: error.type, message: error.message } };
}

/** The model is not served here. */
export function modelNotFound(model: string): ApiError {
  return new ApiError(404, 'NotFoundError', `The model \`${model}\` does not exist.`, 'model');
}

/** Prompt and output do not fit the context. */
export function contextOverflow(maxModelLen: number, inputTokens: number, outputTokens: number): ApiError {
  return new ApiError(
    400,
    'BadRequestError',
    `This model's maximum context length is ${maxModelLen} tokens. However, you requested ${outputTokens} output tokens and ` +
      `your prompt contains ${inputTokens} input tokens, for a total of ${inputTokens + outputTokens} tokens. Please reduce ` +
      `the length of the input prompt or the number of requested output tokens. (parameter=input_tokens, value=${inputTokens})`,
    'input_tokens',
  );
}

/** The body is not JSON, or a field of it is wrong: vLLM reports both in the words of its request parser. */
export function invalidBody(problem: string): ApiError {
  return new ApiError(400, 'Bad Request', problem);
}

/** A path or a method that does not exist, in the words of the HTTP framework. */
export function httpError(status: 404 | 405): ApiError {
  const phrase = status === 404 ? 'Not Found' : 'Method Not Allowed';
  return new ApiError(status, phrase, phrase);
}
