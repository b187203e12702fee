/** The inference checks of one endpoint: asks each of its models for a tiny answer and reports who gave one. */
import type { Clock } from '../lib/clock.ts';
import type { Endpoint } from './endpoint.ts';
import type { EndpointStore } from './endpoint-store.ts';
import type { InferenceCall, SendInference } from './send-inference.ts';
import { tinyRequest, type ModelType } from './tiny-request.ts';

export interface EndpointCheckOptions extends Pick<
  InferenceCall,
  'timeoutMs' | 'ca' | 'insecure' | 'headers'
> {
  readonly type: ModelType;
}

export interface EndpointCheckDeps {
  readonly store: EndpointStore;
  readonly clock: Clock;
  readonly send: SendInference;
  /** Called when the problem of a model begins, changes or ends, after the store heard of it. */
  readonly onChange: (endpoint: Endpoint, model: string, problem: string | undefined) => void;
}

export interface EndpointCheck {
  /** What is wrong with models, for people; the last words on each. */
  readonly problems: readonly string[];
  /** Asks every model once, one after the other. Never call it while it runs. */
  run(): Promise<void>;
  /** Forgets models that it is not to ask any more; true where there are some that it never asked. */
  followModels(): boolean;
  /** Nothing is asked or reported after this; a request under way is given up. */
  stop(): void;
}

/**
 * Creates the checks of one endpoint. The models are those that the operator named; where there are none, the base models
 * that the engine lists. A model passes where the answer came in time and its status is 200.
 *
 * An endpoint that is not in use yet is held back until its first check; one that is in use stays so until a check fails.
 * A model that nobody asks, such as an adapter, is served unless all that were asked failed.
 *
 * The options are asked for with each request, so that they may change while the check lives.
 */
export function createEndpointCheck(
  endpoint: Endpoint,
  deps: EndpointCheckDeps,
  options: () => EndpointCheckOptions,
): EndpointCheck {
  const { store, clock, send, onChange } = deps;
  const problems = new Map<string, string | undefined>();
  let stopped = false;
  let giveUp: (() => void) | undefined;
  /** Whether models may be used before they were asked. */
  let trusted = endpoint.health.kind === 'healthy';
  report();

  function report(): void {
    const models = modelsToAsk(endpoint);
    const allFailed = models.length > 0 && models.every((model) => problems.get(model) !== undefined);
    store.reportChecks(endpoint, { problems: new Map(problems), trustOthers: trusted && !allFailed });
  }

  async function run(): Promise<void> {
    const models = modelsToAsk(endpoint);
    for (const model of models) {
      const problem = await ask(model);
      if (stopped) return;
      // Unless it is gone since.
      if (modelsToAsk(endpoint).includes(model)) learn(model, problem);
      // Whatever is wrong, the probes know it already; they tell when it is over.
      if (store.engineHealth(endpoint).kind !== 'healthy') return;
    }
    if (models.length > 0) trusted = true;
    report();
  }

  function learn(model: string, problem: string | undefined): void {
    const before = problems.get(model);
    problems.set(model, problem);
    report();
    if (before !== problem) onChange(endpoint, model, problem);
  }

  /** The problem, or undefined where there is none. */
  async function ask(model: string): Promise<string | undefined> {
    const { type, ...rest } = options();
    const request = tinyRequest(type, model);
    const call = new AbortController();
    const deadline = clock.after(rest.timeoutMs, () => call.abort());
    giveUp = () => {
      deadline.cancel();
      call.abort();
    };
    const answer = await send({ endpoint, request, ...rest }, call.signal).finally(() => deadline.cancel());
    const check = `inference check of model ${model}`;
    if (answer.kind === 'answer')
      return answer.status === 200 ? undefined : `${check} failed: HTTP ${answer.status}`;
    return call.signal.aborted
      ? `${check} timed out after ${rest.timeoutMs / 1000} s`
      : `${check} failed: ${answer.reason}`;
  }

  return {
    get problems() {
      return [...problems.values()].filter((problem) => problem !== undefined);
    },
    run,
    followModels() {
      const models = modelsToAsk(endpoint);
      const isNew = models.some((model) => !problems.has(model));
      // Forgetting what keeps an endpoint out of use is no reason to use it.
      if (isNew && endpoint.health.kind !== 'healthy') trusted = false;
      for (const model of [...problems.keys()]) if (!models.includes(model)) problems.delete(model);
      report();
      return isNew;
    },
    stop() {
      stopped = true;
      giveUp?.();
    },
  };
}

function modelsToAsk({ configuredModels, listedModels }: Endpoint): readonly string[] {
  if (configuredModels.length > 0) return configuredModels;
  return [...(listedModels?.values() ?? [])].filter(({ parent }) => parent === undefined).map(({ id }) => id);
}
