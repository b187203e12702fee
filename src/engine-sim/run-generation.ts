/** Runs planned requests on the engine for one HTTP exchange: tokens come out, and a client that leaves ends them. */
import type { EngineEvent, EngineRequest } from './engine.ts';
import type { Exchange, Sim } from './exchange.ts';
import type { Choice } from './generation.ts';
import { pieceOf } from './generation.ts';
import type { TokenUsage } from './token-usage.ts';

export interface TokenEvent {
  readonly choice: Choice;
  /** The text of this token. */
  readonly piece: string;
  /** Of this choice alone, so far. */
  readonly usage: TokenUsage;
  /** Whether the choice ends with this token. */
  readonly last: boolean;
}

export interface GenerationListener {
  onToken(token: TokenEvent): void;
  /** Every choice has ended; `usage` counts each prompt once. */
  onEnd(usage: TokenUsage): void;
}

/** Queues the choices at once and reports what they generate, until the end or until the client leaves. */
export function runGeneration(
  sim: Sim,
  exchange: Exchange,
  choices: readonly Choice[],
  listener: GenerationListener,
): void {
  const byId = new Map(choices.map((choice) => [choice.request.id, choice]));
  const cachedById = new Map<string, number>();
  const { dropAfterTokens, res } = exchange;
  let tokens = 0;
  let dropped = false;
  const onToken = (id: string, generated: number): void => {
    const choice = byId.get(id);
    if (choice === undefined || dropped || res.destroyed) return;
    const usage = {
      promptTokens: choice.request.promptTokens,
      cachedTokens: cachedById.get(id) ?? 0,
      completionTokens: generated,
    };
    listener.onToken({
      choice,
      piece: pieceOf(choice, generated),
      usage,
      last: generated === choice.request.outputTokens,
    });
    if (++tokens !== dropAfterTokens) return;
    dropped = true;
    // What was written goes out first, at the end of this turn: the client gets its tokens, and then no more.
    setImmediate(() => res.destroy());
  };
  if (dropAfterTokens === 0) {
    res.destroy();
    return;
  }
  const usages = new Map<number, TokenUsage>();
  runRequests(
    sim,
    exchange,
    choices.map((choice) => choice.request),
    (event) => {
      if (event.kind === 'first-token') {
        cachedById.set(event.id, event.cachedTokens);
        onToken(event.id, 1);
      } else if (event.kind === 'token') onToken(event.id, event.generated);
      else if (event.kind === 'finished') addUsage(usages, byId.get(event.id)?.prompt ?? 0, event.usage);
    },
    () => {
      if (!dropped) listener.onEnd(sumUsages(usages.values()));
    },
  );
}

/** Runs requests that generate nothing; `onEnd` gets the sum of their usage. */
export function runPooling(
  sim: Sim,
  exchange: Exchange,
  requests: readonly EngineRequest[],
  onEnd: (usage: TokenUsage) => void,
): void {
  const usages: TokenUsage[] = [];
  runRequests(
    sim,
    exchange,
    requests,
    (event) => {
      if (event.kind === 'finished') usages.push(event.usage);
    },
    () => onEnd(sumUsages(usages)),
  );
}

function runRequests(
  sim: Sim,
  { res }: Exchange,
  requests: readonly EngineRequest[],
  onEvent: (event: EngineEvent) => void,
  onEnd: () => void,
): void {
  let open = requests.length;
  res.once('close', () => {
    if (open > 0) sim.driver.abort(requests.map((request) => request.id));
  });
  sim.driver.submit(requests, (event) => {
    onEvent(event);
    if (event.kind === 'finished' && --open === 0 && !res.destroyed) onEnd();
  });
}

function addUsage(usages: Map<number, TokenUsage>, prompt: number, usage: TokenUsage): void {
  const before = usages.get(prompt);
  usages.set(
    prompt,
    before === undefined
      ? usage
      : { ...before, completionTokens: before.completionTokens + usage.completionTokens },
  );
}

function sumUsages(usages: Iterable<TokenUsage>): TokenUsage {
  let sum: TokenUsage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  for (const usage of usages) {
    sum = {
      promptTokens: sum.promptTokens + usage.promptTokens,
      cachedTokens: sum.cachedTokens + usage.cachedTokens,
      completionTokens: sum.completionTokens + usage.completionTokens,
    };
  }
  return sum;
}
