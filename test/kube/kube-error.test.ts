import { describe, expect, it } from '@jest/globals';
import { KubeError, noCredentials, refusedBy, silent, unreachable } from '../../src/kube/kube-error.ts';

const pods = { group: '', version: 'v1', plural: 'pods', namespace: 'a' };
const pools = {
  group: 'inference.networking.k8s.io',
  version: 'v1',
  plural: 'inferencepools',
  namespace: 'a',
};

describe('refusedBy()', () => {
  it.each([
    [
      401,
      'unauthorized',
      'Cannot list pods in namespace "a": the API server does not accept the credentials: it says so; check the service account\'s token, or the kubeconfig',
    ],
    [
      403,
      'forbidden',
      'Cannot list pods in namespace "a": forbidden: it says so; allow the verbs list and watch on pods there',
    ],
    [404, 'missing', 'Cannot list pods in namespace "a": not found: it says so'],
    [410, 'expired', 'Cannot list pods in namespace "a": the state to continue from is too old: it says so'],
    [429, 'refused', 'Cannot list pods in namespace "a": the API server answered 429: it says so'],
  ])('explains %d', (code, kind, message) => {
    expect(refusedBy('list', pods, { code, message: 'it says so' })).toMatchObject({ kind, message });
  });

  it('names the resource that has to be installed', () => {
    expect(refusedBy('watch', pools, { code: 404 }).message).toBe(
      'Cannot watch inferencepools.inference.networking.k8s.io in namespace "a": the API server does not know ' +
        'inferencepools.inference.networking.k8s.io in version v1; install its CustomResourceDefinition',
    );
  });

  it('does without words of the API server', () => {
    expect(refusedBy('list', pods, { code: 502 }).message).toBe(
      'Cannot list pods in namespace "a": the API server answered 502',
    );
    expect(refusedBy('list', pods, {})).toMatchObject({ kind: 'refused' });
  });
});

describe('unreachable()', () => {
  const say = (cause: unknown): string => unreachable('list', pods, 'https://api:6443', cause).message;

  it.each([
    ['an error', new Error('connect ECONNREFUSED 10.0.0.1:6443'), 'connect ECONNREFUSED 10.0.0.1:6443'],
    ['the first of several', new AggregateError([new Error('first'), new Error('second')]), 'first'],
    ['what is no error', 'odd', 'odd'],
    ['nothing', undefined, 'undefined'],
  ])('tells of %s', (_, cause, words) => {
    expect(say(cause)).toBe(
      `Cannot list pods in namespace "a": the API server https://api:6443 does not answer: ${words}`,
    );
  });

  it('leaves what explains itself', () => {
    const error = new KubeError('forbidden', 'no');
    expect(unreachable('list', pods, 'https://api', error)).toBe(error);
    expect(noCredentials('list', pods, error)).toBe(error);
  });
});

describe('silent()', () => {
  it('says for how long', () => {
    expect(silent('watch', pods, 2500)).toMatchObject({
      kind: 'silent',
      message: 'Cannot watch pods in namespace "a": the API server gave no sign of life for 2.5 s',
    });
  });
});

describe('noCredentials()', () => {
  it('says what is missing', () => {
    expect(noCredentials('list', pods, new Error('ENOENT: token'))).toMatchObject({
      kind: 'credentials',
      message: 'Cannot list pods in namespace "a": the credentials cannot be had: ENOENT: token',
    });
  });
});
