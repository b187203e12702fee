/** Filters that read token counts from responses as they pass and leave them in metadata for the access log. */
import { atLeast } from '../version.ts';
import { usageNamespace } from './names.ts';
import { connectionBufferBytes, type BootstrapSettings } from './options.ts';
import { extension, typed } from './typed.ts';

type UsageKey = 'input_tokens' | 'output_tokens' | 'cached_tokens';

/** Where a count is, and the key it is kept under. */
type Rule = readonly [path: string, key: UsageKey];

/** OpenAI's completions and chat completions, vLLM's embeddings, scores and the like. */
const openAi: readonly Rule[] = [
  ['usage.prompt_tokens', 'input_tokens'],
  ['usage.completion_tokens', 'output_tokens'],
  ['usage.prompt_tokens_details.cached_tokens', 'cached_tokens'],
];

/** What OpenAI's responses and Anthropic's messages have in common, and what is Anthropic's. */
const responsesAndMessages: readonly Rule[] = [
  ['usage.input_tokens', 'input_tokens'],
  ['usage.output_tokens', 'output_tokens'],
  ['usage.input_tokens_details.cached_tokens', 'cached_tokens'],
  ['usage.cache_read_input_tokens', 'cached_tokens'],
];

/** In events: OpenAI nests a whole response in `response.completed`, Anthropic a message in `message_start`. */
const nestedInEvents: readonly Rule[] = [
  ['message.usage.input_tokens', 'input_tokens'],
  ['message.usage.cache_read_input_tokens', 'cached_tokens'],
  ['message.usage.output_tokens', 'output_tokens'],
  ['response.usage.input_tokens', 'input_tokens'],
  ['response.usage.output_tokens', 'output_tokens'],
  ['response.usage.input_tokens_details.cached_tokens', 'cached_tokens'],
];

/** One event may hold a whole response. */
const maxEventBytes = 4 * 1024 * 1024;

/** The usage filters, or none on versions that do not have them. */
export function usageFilters(settings: BootstrapSettings): object[] {
  return hasUsageFilters(settings) ? [eventFilter, onlyShort(documentFilter, settings)] : [];
}

/**
 * Per-route configuration for every path but the inference APIs, whose events are JSON objects by definition: Envoy 1.38
 * to 1.40 crashes when an event is another JSON value, such as `data: null`.
 */
export function withoutEventFilter(settings: BootstrapSettings): object {
  return hasUsageFilters(settings)
    ? {
        typed_per_filter_config: {
          [eventFilterName]: typed('envoy.config.route.v3.FilterConfig', { disabled: true }),
        },
      }
    : {};
}

function hasUsageFilters({ version }: BootstrapSettings): boolean {
  return atLeast(version, 1, 38);
}

const eventFilterName = 'envoy.filters.http.sse_to_metadata';

const eventFilter = extension(
  eventFilterName,
  'envoy.extensions.filters.http.sse_to_metadata.v3.SseToMetadata',
  {
    response_rules: {
      max_event_size: maxEventBytes,
      content_parser: extension(
        'envoy.content_parsers.json',
        'envoy.extensions.content_parsers.json.v3.JsonContentParser',
        {
          // Nested ones first, so that what a later rule or event says of the whole wins.
          rules: [...nestedInEvents, ...responsesAndMessages, ...openAi].map((rule) => ({
            rule: metadataRule(rule),
          })),
        },
      ),
    },
  },
);

const documentFilter = extension(
  'envoy.filters.http.json_to_metadata',
  'envoy.extensions.filters.http.json_to_metadata.v3.JsonToMetadata',
  {
    response_rules: {
      allow_content_types: [
        'application/json',
        'application/json; charset=utf-8',
        'application/json;charset=utf-8',
      ],
      rules: [...responsesAndMessages, ...openAi].map(metadataRule),
    },
  },
);

function metadataRule([path, key]: Rule): object {
  return {
    selectors: path.split('.').map((name) => ({ key: name })),
    on_present: { metadata_namespace: usageNamespace, key, type: 'NUMBER' },
  };
}

/**
 * The document filter holds a response back until it has it whole, and one that is larger than the connection's buffer
 * becomes a 500. So it sees only those that say they are smaller; a page of embeddings passes it by.
 */
function onlyShort(filter: object, settings: BootstrapSettings): object {
  const digits = Math.floor(Math.log10(connectionBufferBytes(settings)));
  const isShort = {
    single_predicate: {
      input: {
        name: 'content-length',
        typed_config: typed('envoy.type.matcher.v3.HttpResponseHeaderMatchInput', {
          header_name: 'content-length',
        }),
      },
      value_match: { safe_regex: { google_re2: {}, regex: `[0-9]{1,${digits}}` } },
    },
  };
  const skip = extension('skip', 'envoy.extensions.filters.common.matcher.action.v3.SkipFilter');
  return extension(
    'envoy.filters.http.match_delegate',
    'envoy.extensions.common.matching.v3.ExtensionWithMatcher',
    {
      extension_config: filter,
      xds_matcher: {
        matcher_list: { matchers: [{ predicate: { not_matcher: isShort }, on_match: { action: skip } }] },
      },
    },
  );
}
