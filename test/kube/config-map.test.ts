import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  createConfigMapWatch,
  parseConfigMapName,
  type ConfigMapTexts,
  type ConfigMapWatch,
} from '../../src/kube/config-map.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeKubeClient, settled } from './support/fake-kube-client.ts';

describe('createConfigMapWatch()', () => {
  let client: FakeKubeClient;
  let watch: ConfigMapWatch;
  let told: (ConfigMapTexts | undefined)[];
  let problems: (string | undefined)[];

  beforeEach(() => {
    client = new FakeKubeClient();
    told = [];
    problems = [];
    watch = createConfigMapWatch(
      { client, clock: new FakeClock(), random: () => 0 },
      {
        namespace: 'inference',
        name: 'sluice',
        onTexts: (texts) => told.push(texts),
        onProblem: (problem) => problems.push(problem),
      },
    );
    watch.start();
  });

  afterEach(() => watch.stop());

  const map = (data?: ConfigMapTexts) => ({
    metadata: { name: 'sluice', resourceVersion: '2' },
    ...(data === undefined ? {} : { data }),
  });

  it('asks for one ConfigMap', () => {
    expect(client.lists[0]!.resource).toEqual({
      group: '',
      version: 'v1',
      plural: 'configmaps',
      namespace: 'inference',
      name: 'sluice',
    });
  });

  it('tells what is in it, and whenever that changes', async () => {
    await client.answerList('1', map({ 'sluice.yaml': 'a: 1' }));
    const changes = await client.acceptWatch();
    changes.give([{ type: 'MODIFIED', object: map({ 'sluice.yaml': 'a: 1' }) }]);
    changes.give([{ type: 'MODIFIED', object: map({ 'sluice.yaml': 'a: 2' }) }]);
    changes.give([{ type: 'MODIFIED', object: map() }]);
    changes.give([{ type: 'DELETED', object: map() }]);
    await settled();
    expect(told).toEqual([{ 'sluice.yaml': 'a: 1' }, { 'sluice.yaml': 'a: 2' }, {}, undefined]);
  });

  it('tells that there is none', async () => {
    await client.answerList('1');
    expect(told).toEqual([undefined]);
  });

  it('keeps what it knows while the API server is away', async () => {
    await client.answerList('1', map({ a: 'b' }));
    (await client.acceptWatch()).fail(new KubeError('unreachable', 'Cannot reach it'));
    await settled();
    expect(told).toEqual([{ a: 'b' }]);
    expect(problems).toEqual(['Cannot reach it']);
    expect(watch.status()).toMatchObject({ listed: true, problem: 'Cannot reach it' });
  });
});

describe('parseConfigMapName()', () => {
  it.each([
    ['inference/sluice', { namespace: 'inference', name: 'sluice' }],
    ['sluice', { namespace: 'own', name: 'sluice' }],
    ['a/sluice.config', { namespace: 'a', name: 'sluice.config' }],
  ])('reads "%s"', (text, expected) => expect(parseConfigMapName(text, 'own')).toEqual(expected));

  it.each(['', '/', 'a/', '/b', 'a/b/c', 'A/b', 'a b', '-a'])('refuses "%s"', (text) => {
    expect(() => parseConfigMapName(text, 'own')).toThrow(
      `Cannot use the ConfigMap "${text}": write it as namespace/name, e.g. inference/sluice`,
    );
  });
});
