/** A client of no API server: a test sees each call and decides what comes of it. */
import type { KubeClient, WatchOptions } from '../../../src/kube/kube-client.ts';
import type { KubeObject, KubePage, WatchEvent } from '../../../src/kube/kube-object.ts';
import type { KubeResource } from '../../../src/kube/kube-resource.ts';

/** One list or watch that was asked for. */
export interface FakeCall<T> {
  readonly resource: KubeResource;
  readonly signal: AbortSignal;
  give(value: T): void;
  end(): void;
  fail(error: unknown): void;
}

export interface FakeWatch extends FakeCall<readonly WatchEvent<KubeObject>[]> {
  readonly options: WatchOptions;
}

export type FakeList = FakeCall<KubePage<KubeObject>>;

export class FakeKubeClient implements Pick<KubeClient, 'list' | 'watch'> {
  readonly lists: FakeList[] = [];
  readonly watches: FakeWatch[] = [];

  list<O extends KubeObject>(resource: KubeResource, signal: AbortSignal): AsyncIterable<KubePage<O>> {
    const { call, values } = createCall<KubePage<KubeObject>>(resource, signal);
    this.lists.push(call);
    return values as AsyncIterable<KubePage<O>>;
  }

  watch<O extends KubeObject>(
    resource: KubeResource,
    options: WatchOptions,
    signal: AbortSignal,
  ): AsyncIterable<readonly WatchEvent<O>[]> {
    const { call, values } = createCall<readonly WatchEvent<KubeObject>[]>(resource, signal);
    this.watches.push({ ...call, options });
    return values as AsyncIterable<readonly WatchEvent<O>[]>;
  }

  /** Answers the newest list with one page, once that was asked for. */
  async answerList(resourceVersion: string, ...items: readonly KubeObject[]): Promise<void> {
    await settled();
    const list = this.lists.at(-1)!;
    list.give({ items, resourceVersion });
    list.end();
    await settled();
  }

  /** Accepts the newest watch. */
  async acceptWatch(): Promise<FakeWatch> {
    await settled();
    const watch = this.watches.at(-1)!;
    watch.give([]);
    await settled();
    return watch;
  }
}

/** Lets promises that can settle do so. */
export async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

function createCall<T>(
  resource: KubeResource,
  signal: AbortSignal,
): { call: FakeCall<T>; values: AsyncIterable<T> } {
  const steps: (() => T | undefined)[] = [];
  let wake = Promise.withResolvers<undefined>();
  const add = (step: () => T | undefined): void => {
    steps.push(step);
    wake.resolve(undefined);
  };
  const throws = (error: unknown) => (): never => {
    throw error;
  };
  signal.addEventListener('abort', () => add(throws(signal.reason)));

  async function* values(): AsyncGenerator<T> {
    for (;;) {
      const step = steps.shift();
      if (step === undefined) {
        wake = Promise.withResolvers<undefined>();
        await wake.promise;
        continue;
      }
      const value = step();
      if (value === undefined) return;
      yield value;
    }
  }

  return {
    call: {
      resource,
      signal,
      give: (value) => add(() => value),
      end: () => add(() => undefined),
      fail: (error) => add(throws(error)),
    },
    values: values(),
  };
}
