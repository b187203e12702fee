import { describe, expect, it } from '@jest/globals';
import { resourceName, resourcePath, resourceText, selectionOf } from '../../src/kube/kube-resource.ts';

const pods = { group: '', version: 'v1', plural: 'pods', namespace: 'team-a' };
const pools = {
  group: 'inference.networking.k8s.io',
  version: 'v1',
  plural: 'inferencepools',
  namespace: 'b',
};

describe('resourcePath()', () => {
  it.each([
    [pods, '/api/v1/namespaces/team-a/pods'],
    [pools, '/apis/inference.networking.k8s.io/v1/namespaces/b/inferencepools'],
    [{ ...pods, namespace: 'a/b?c' }, '/api/v1/namespaces/a%2Fb%3Fc/pods'],
  ])('%# gives the path of a collection', (resource, path) => expect(resourcePath(resource)).toBe(path));
});

describe('selectionOf()', () => {
  it('chooses by labels, by name, or everything', () => {
    expect(selectionOf(pods)).toEqual({});
    expect(selectionOf({ ...pods, labelSelector: '' })).toEqual({});
    expect(selectionOf({ ...pods, labelSelector: 'a=b' })).toEqual({ labelSelector: 'a=b' });
    expect(selectionOf({ ...pools, name: 'llama' })).toEqual({ fieldSelector: 'metadata.name=llama' });
  });
});

describe('resourceName()', () => {
  it('is what RBAC rules say', () => {
    expect(resourceName(pods)).toBe('pods');
    expect(resourceName(pools)).toBe('inferencepools.inference.networking.k8s.io');
  });
});

describe('resourceText()', () => {
  it('says which objects', () => {
    expect(resourceText(pods)).toBe('pods in namespace "team-a"');
    expect(resourceText({ ...pods, labelSelector: 'a=b' })).toBe('pods with "a=b" in namespace "team-a"');
    expect(resourceText({ ...pools, name: 'llama' })).toBe(
      'inferencepools.inference.networking.k8s.io "llama" in namespace "b"',
    );
  });
});
