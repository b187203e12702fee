/** Envoy's own refusals in the shape that OpenAI's clients read: `{"error": {message, type, code}}`. */
import type { BootstrapSettings } from './options.ts';
import { extension } from './typed.ts';

interface ErrorReply {
  readonly status: number;
  readonly message: string;
  readonly type: 'invalid_request_error' | 'server_error' | 'timeout_error';
  readonly code: string;
  /** A later attempt may succeed. */
  readonly retryAfterSeconds?: number;
}

/** The connection manager's local_reply_config. Messages are ours: Envoy's name addresses and internals. */
export function localReplies(settings: BootstrapSettings): object {
  return {
    mappers: [
      replyOfSluice,
      ...replies(settings).map((reply) => mapper(reply, { op: 'EQ', value: reply.status })),
      mapper(anyOtherServerError, { op: 'GE', value: 500 }),
      mapper(anyOtherClientError, { op: 'GE', value: 400 }),
    ],
  };
}

/** What Sluice answers itself passes here too. It says its content type, which Envoy's own replies at this point do not. */
const replyOfSluice = {
  filter: {
    extension_filter: extension(
      'envoy.access_loggers.extension_filters.cel',
      'envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter',
      { expression: "'content-type' in response.headers" },
    ),
  },
};

const replies = ({ maxBodyBytes }: BootstrapSettings): readonly ErrorReply[] => [
  {
    status: 400,
    message: 'The request is not valid HTTP.',
    type: 'invalid_request_error',
    code: 'bad_request',
  },
  {
    status: 408,
    message: 'The request did not arrive in time.',
    type: 'timeout_error',
    code: 'request_timeout',
  },
  {
    status: 413,
    message: `The request body is larger than ${maxBodyBytes} bytes.`,
    type: 'invalid_request_error',
    code: 'request_too_large',
  },
  {
    status: 426,
    message: 'This version of HTTP is not supported; use HTTP/1.1 or HTTP/2.',
    type: 'invalid_request_error',
    code: 'upgrade_required',
  },
  {
    status: 431,
    message: 'The request headers are too large.',
    type: 'invalid_request_error',
    code: 'headers_too_large',
  },
  {
    status: 502,
    message: 'The engine sent an answer that is not valid HTTP.',
    type: 'server_error',
    code: 'bad_gateway',
  },
  {
    status: 503,
    message: 'No engine can answer at the moment.',
    type: 'server_error',
    code: 'service_unavailable',
    retryAfterSeconds: 1,
  },
  {
    status: 504,
    message: 'The answer did not come in time.',
    type: 'timeout_error',
    code: 'gateway_timeout',
  },
];

const anyOtherServerError: ErrorReply = {
  status: 500,
  message: 'The server had an error while processing your request.',
  type: 'server_error',
  code: 'internal_error',
};

const anyOtherClientError: ErrorReply = {
  status: 400,
  message: 'The request was refused.',
  type: 'invalid_request_error',
  code: 'bad_request',
};

function mapper(reply: ErrorReply, comparison: { op: 'EQ' | 'GE'; value: number }): object {
  const { message, type, code, retryAfterSeconds } = reply;
  return {
    filter: {
      status_code_filter: {
        comparison: {
          op: comparison.op,
          value: {
            default_value: comparison.value,
            runtime_key: `sluice.local_reply.${comparison.op}.${comparison.value}`,
          },
        },
      },
    },
    ...(retryAfterSeconds !== undefined && {
      headers_to_add: [
        {
          header: { key: 'retry-after', value: String(retryAfterSeconds) },
          append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
        },
      ],
    }),
    body_format_override: { json_format: { error: { message, type, param: null, code } } },
  };
}
