/** Streams of `chat.completion.chunk` and `text_completion` objects: one server-sent event per token, then `[DONE]`. */
import type { Exchange, Sim } from './exchange.ts';
import { openEventStream } from './exchange.ts';
import type { Choice } from './generation.ts';
import type { TokenEvent } from './run-generation.ts';
import { runGeneration } from './run-generation.ts';
import type { TokenUsage } from './token-usage.ts';
import { openAiUsage } from './token-usage.ts';

export interface OpenAiStream {
  /** The fields that every chunk begins with: id, object, created, model. */
  readonly head: Readonly<Record<string, unknown>>;
  readonly usage: 'none' | 'last' | 'every';
  /** What comes before a choice's first token, where the dialect has such a thing. */
  readonly opening: ((choice: Choice) => unknown) | undefined;
  /** The entry of `choices` for one token. */
  token(event: TokenEvent): unknown;
}

/** Answers the head of the stream, queues the choices, and writes chunks as tokens are generated. */
export function streamOpenAi(
  sim: Sim,
  exchange: Exchange,
  choices: readonly Choice[],
  stream: OpenAiStream,
): void {
  const { res } = exchange;
  // Serialised once: a chunk differs from the next only in its choice and its usage.
  const head = JSON.stringify(stream.head).slice(0, -1);
  const write = (choice: unknown, usage: TokenUsage | undefined): void => {
    const usageField = usage === undefined ? '' : `,"usage":${JSON.stringify(openAiUsage(usage))}`;
    res.write(
      `data: ${head},"choices":${choice === undefined ? '[]' : `[${JSON.stringify(choice)}]`}${usageField}}\n\n`,
    );
  };
  openEventStream(res);
  runGeneration(sim, exchange, choices, {
    onToken(event) {
      const usage = stream.usage === 'every' ? event.usage : undefined;
      const isFirst = event.usage.completionTokens === 1;
      if (isFirst && stream.opening !== undefined)
        write(stream.opening(event.choice), usage && { ...usage, completionTokens: 0 });
      write(stream.token(event), usage);
    },
    onEnd(usage) {
      if (stream.usage !== 'none') write(undefined, usage);
      res.end('data: [DONE]\n\n');
    },
  });
}
