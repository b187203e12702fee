import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { KubeError } from '../../src/kube/kube-error.ts';
import type { KubeObject, WatchEvent } from '../../src/kube/kube-object.ts';
import { createReflector, type Reflector, type ReflectorOptions } from '../../src/kube/reflector.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeKubeClient, settled } from './support/fake-kube-client.ts';

interface Labelled extends KubeObject {
  readonly label?: string;
}

const resource = { group: '', version: 'v1', plural: 'pods', namespace: 'a' };

let clock: FakeClock;
let client: FakeKubeClient;
let reflector: Reflector;
/** What was told, in order: `a=1 b=2`. */
let told: string[];
let problems: (string | undefined)[];

beforeEach(() => {
  clock = new FakeClock();
  client = new FakeKubeClient();
  told = [];
  problems = [];
});

afterEach(async () => {
  reflector.stop();
  await settled();
  expect(clock.pending).toBe(0);
});

function start(options: Partial<ReflectorOptions<Labelled, { value: string }>> = {}): void {
  reflector = createReflector<Labelled, { value: string }>(
    { client, clock, random: () => 0 },
    {
      resource,
      project: ({ label }) => (label === undefined ? undefined : { value: label }),
      onItems: (items) => told.push([...items].map(([name, { value }]) => `${name}=${value}`).join(' ')),
      onProblem: (problem) => problems.push(problem),
      ...options,
    },
  );
  reflector.start();
}

function object(name: string, label?: string, resourceVersion = '0'): Labelled {
  return { metadata: { name, resourceVersion }, ...(label === undefined ? {} : { label }) };
}

function event(type: WatchEvent<KubeObject>['type'], of: KubeObject): WatchEvent<KubeObject> {
  return { type, object: of };
}

function bookmark(resourceVersion: string): WatchEvent<KubeObject> {
  return event('BOOKMARK', object('', undefined, resourceVersion));
}

/** Lets the clock reach the next attempt. */
async function pass(ms: number): Promise<void> {
  clock.advance(ms);
  await settled();
}

function broken(message = 'Cannot reach it'): KubeError {
  return new KubeError('unreachable', message);
}

describe('createReflector()', () => {
  it('lists, and watches from there', async () => {
    start();
    expect(client.lists[0]!.resource).toBe(resource);
    await client.answerList('7', object('a', '1'), object('b'), object('c', '2'));
    expect(told).toEqual(['a=1 c=2']);
    const watch = await client.acceptWatch();
    expect(watch.options).toEqual({ resourceVersion: '7', timeoutSeconds: 20 });
    watch.give([
      event('MODIFIED', object('a', '3')),
      event('ADDED', object('d', '4')),
      event('DELETED', object('c', '2')),
    ]);
    await settled();
    expect(told).toEqual(['a=1 c=2', 'a=3 d=4']);
    expect(reflector.status()).toEqual({
      resource: 'pods in namespace "a"',
      listed: true,
      problem: undefined,
      objects: 2,
      lists: 1,
      events: 3,
      failures: {},
    });
  });

  it('tells the first list even where it is empty', async () => {
    start();
    await client.answerList('1');
    expect(told).toEqual(['']);
  });

  it('takes a list in pages as one', async () => {
    start();
    await settled();
    const [list] = client.lists;
    list!.give({ items: [object('a', '1')], resourceVersion: '5' });
    await settled();
    expect(told).toEqual([]);
    list!.give({ items: [object('b', '2')], resourceVersion: '5' });
    list!.end();
    await settled();
    expect(told).toEqual(['a=1 b=2']);
  });

  it('is quiet about events that change nothing that is kept', async () => {
    start();
    await client.answerList('1', object('a', '1'), object('b'));
    const watch = await client.acceptWatch();
    watch.give([
      event('MODIFIED', object('a', '1')),
      event('MODIFIED', object('b')),
      event('DELETED', object('b')),
      bookmark('9'),
    ]);
    await settled();
    expect(told).toEqual(['a=1']);
    expect(reflector.status()).toMatchObject({ events: 3, objects: 1 });
  });

  it('drops what is no longer wanted', async () => {
    start();
    await client.answerList('1', object('a', '1'));
    const watch = await client.acceptWatch();
    watch.give([event('MODIFIED', object('a'))]);
    await settled();
    expect(told).toEqual(['a=1', '']);
  });

  it('continues a watch that the server ended, from the last version that it saw', async () => {
    start();
    await client.answerList('7');
    const first = await client.acceptWatch();
    first.give([event('ADDED', object('a', '1', '8')), bookmark('12')]);
    await settled();
    first.end();
    const second = await client.acceptWatch();
    expect(second.options.resourceVersion).toBe('12');
    clock.advance(1000);
    second.end();
    await settled();
    expect(client.watches[2]!.options.resourceVersion).toBe('12');
    expect(client.lists).toHaveLength(1);
    expect(problems).toEqual([]);
  });

  it('takes a watch that ends at once, with nothing in it, for a failure', async () => {
    start();
    await client.answerList('7');
    const watch = await client.acceptWatch();
    watch.end();
    await settled();
    expect(problems).toEqual([
      'Cannot watch pods in namespace "a": the watch ended at once; a proxy in between may do so',
    ]);
    expect(client.watches).toHaveLength(1);
  });

  it('lists again after a failure, and tells what changed meanwhile', async () => {
    start();
    await client.answerList('7', object('a', '1'), object('b', '2'));
    const watch = await client.acceptWatch();
    watch.fail(broken());
    await settled();
    expect(told).toEqual(['a=1 b=2']);
    expect(problems).toEqual(['Cannot reach it']);
    await pass(200);
    await client.answerList('20', object('b', '2'), object('c', '3'));
    expect(told).toEqual(['a=1 b=2', 'b=2 c=3']);
    expect(problems).toHaveLength(1);
    const next = await client.acceptWatch();
    expect(next.options.resourceVersion).toBe('20');
    expect(problems).toEqual(['Cannot reach it', undefined]);
    expect(reflector.status()).toMatchObject({ lists: 2, failures: { unreachable: 1 } });
  });

  it('is quiet about a list that found nothing new', async () => {
    start();
    await client.answerList('7', object('a', '1'));
    (await client.acceptWatch()).fail(broken());
    await settled();
    await pass(200);
    await client.answerList('8', object('a', '1'));
    expect(told).toEqual(['a=1']);
  });

  it('forgets nothing of a list that broke in the middle', async () => {
    start();
    await client.answerList('7', object('a', '1'), object('b', '2'));
    (await client.acceptWatch()).fail(broken());
    await settled();
    await pass(200);
    client.lists[1]!.give({ items: [object('a', '1')], resourceVersion: '9' });
    await settled();
    client.lists[1]!.fail(broken());
    await settled();
    expect(told).toEqual(['a=1 b=2']);
    expect(reflector.status().objects).toBe(2);
  });

  it('waits longer from failure to failure, ten seconds at most, and begins anew after a success', async () => {
    start();
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      await settled();
      client.lists.at(-1)!.fail(broken());
      await settled();
      const asked = client.lists.length;
      let pauseMs = 0;
      while (client.lists.length === asked) {
        await pass(100);
        pauseMs += 100;
      }
      pauses.push(pauseMs);
    }
    expect(pauses).toEqual([200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    expect(problems).toEqual(['Cannot reach it']);

    await client.answerList('1');
    const watch = await client.acceptWatch();
    watch.give([bookmark('2')]);
    await settled();
    watch.fail(broken());
    await settled();
    const asked = client.lists.length;
    await pass(200);
    expect(client.lists).toHaveLength(asked + 1);
  });

  it('waits a random half of a pause less', async () => {
    reflector = createReflector(
      { client, clock, random: () => 0.999 },
      { resource, project: () => undefined, onItems: () => undefined },
    );
    reflector.start();
    await settled();
    client.lists[0]!.fail(broken());
    await settled();
    await pass(101);
    expect(client.lists).toHaveLength(2);
  });

  it('does not take a list alone for a success', async () => {
    start();
    for (const pauseMs of [200, 400, 800]) {
      await client.answerList('1', object('a', '1'));
      client.watches.at(-1)!.fail(new KubeError('forbidden', 'Cannot watch pods'));
      await settled();
      const asked = client.lists.length;
      await pass(pauseMs - 1);
      expect(client.lists).toHaveLength(asked);
      await pass(1);
      expect(client.lists).toHaveLength(asked + 1);
    }
    expect(problems).toEqual(['Cannot watch pods']);
    expect(reflector.status().failures).toEqual({ forbidden: 3 });
  });

  it('says nothing of a version that is too old', async () => {
    start();
    await client.answerList('1', object('a', '1'));
    client.watches[0]!.fail(new KubeError('expired', 'Cannot watch pods: too old'));
    await settled();
    expect(problems).toEqual([]);
    expect(reflector.status().failures).toEqual({ expired: 1 });
    await pass(200);
    expect(client.lists).toHaveLength(2);
  });

  it.each(['list', 'watch'] as const)('gives up a %s that is silent', async (verb) => {
    start({ silenceTimeoutMs: 6000 });
    if (verb === 'watch') {
      await client.answerList('1');
      await client.acceptWatch();
      expect(client.watches[0]!.options.timeoutSeconds).toBe(4);
    }
    await pass(5999);
    expect(problems).toEqual([]);
    await pass(1);
    expect(problems).toEqual([
      `Cannot ${verb} pods in namespace "a": the API server gave no sign of life for 6 s`,
    ]);
    expect((verb === 'list' ? client.lists : client.watches)[0]!.signal.aborted).toBe(true);
    expect(reflector.status().failures).toEqual({ silent: 1 });
    await pass(200);
    expect(client.lists).toHaveLength(verb === 'list' ? 2 : 2);
  });

  it('takes every page and every batch for a sign of life', async () => {
    start({ silenceTimeoutMs: 6000 });
    await settled();
    const [list] = client.lists;
    for (let i = 0; i < 3; i++) {
      await pass(5000);
      list!.give({ items: [], resourceVersion: '1' });
      await settled();
    }
    list!.end();
    await settled();
    const watch = await client.acceptWatch();
    for (let i = 0; i < 3; i++) {
      await pass(5000);
      watch.give([bookmark(String(i))]);
      await settled();
    }
    expect(problems).toEqual([]);
  });

  it('tells a problem that becomes another one', async () => {
    start();
    await settled();
    client.lists[0]!.fail(broken('refused'));
    await settled();
    await pass(200);
    client.lists[1]!.fail(broken('refused'));
    await settled();
    await pass(400);
    client.lists[2]!.fail(broken('no route'));
    await settled();
    expect(problems).toEqual(['refused', 'no route']);
  });

  it('survives what no client should do', async () => {
    start();
    await settled();
    client.lists[0]!.fail(new TypeError('x is not a function'));
    await settled();
    expect(problems).toEqual(['Cannot follow pods in namespace "a": TypeError: x is not a function']);
    await pass(200);
    expect(client.lists).toHaveLength(2);
  });

  it.each([
    ['a list', async () => undefined],
    [
      'a watch',
      async () => {
        await client.answerList('1');
        await client.acceptWatch();
      },
    ],
    [
      'a pause',
      async () => {
        await settled();
        client.lists[0]!.fail(broken());
        await settled();
      },
    ],
  ])('stops in %s, and starts again', async (_, bring) => {
    start();
    await bring();
    const before = [told.length, problems.length];
    reflector.stop();
    await settled();
    await pass(60_000);
    expect([told.length, problems.length]).toEqual(before);
    expect(client.lists).toHaveLength(1);
    reflector.start();
    await client.answerList('5', object('z', '1'));
    expect(told.at(-1)).toBe('z=1');
  });

  it('tells nothing of what arrives after it was stopped', async () => {
    start();
    await client.answerList('1', object('a', '1'));
    const watch = await client.acceptWatch();
    watch.give([event('ADDED', object('b', '2'))]);
    reflector.stop();
    await settled();
    expect(told).toEqual(['a=1']);
  });

  it('may be stopped by whom it tells', async () => {
    start({ onItems: () => reflector.stop() });
    await client.answerList('1', object('a', '1'));
    expect(client.watches).toEqual([]);
  });

  it('may be stopped by whom it tells a problem', async () => {
    start({ onProblem: () => reflector.stop() });
    await settled();
    client.lists[0]!.fail(broken());
    await settled();
    await pass(60_000);
    expect(client.lists).toHaveLength(1);
  });
});
