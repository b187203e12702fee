import { describe, expect, it } from '@jest/globals';
import { createDiscover } from '../src/discover.ts';
import { FakeClock } from './support/fake-clock.ts';
import { testConfig } from './support/configuration.ts';

const [first, second] = ['http://127.0.0.1:1', 'http://127.0.0.1:2'];

async function listOf(urls: readonly string[]) {
  const followed: string[][] = [];
  const discover = await createDiscover(
    {
      clock: new FakeClock(),
      random: () => 0.5,
      userAgent: 'sluice/test',
      onTargets: (targets) => followed.push(targets.map(({ id }) => id)),
      onNameChange: () => undefined,
      onSourceChange: () => undefined,
    },
    testConfig(urls).config,
  );
  discover.start();
  return { discover, followed };
}

describe('createDiscover() with a list', () => {
  it('follows another one when it is told to, and not before', async () => {
    const { discover, followed } = await listOf([first]);
    const follow = discover.prepare(testConfig([second]).config);
    expect(followed).toEqual([['127.0.0.1:1']]);
    follow();
    expect(followed).toEqual([['127.0.0.1:1'], ['127.0.0.1:2']]);
    await discover.stop();
  });

  it('refuses one without engines before anything of it is in effect', async () => {
    const { discover, followed } = await listOf([first]);
    expect(() => discover.prepare(testConfig([]).config)).toThrow('Cannot serve without engines');
    expect(followed).toEqual([['127.0.0.1:1']]);
    await discover.stop();
  });
});
