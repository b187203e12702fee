import { describe, expect, it } from '@jest/globals';
import { Command } from 'commander';
import {
  addDiscoveryOptions,
  discoveryBelowFile,
  discoveryFromFlags,
  type DiscoveryFlags,
} from '../../src/cli/discovery-flags.ts';

function flagsOf(...args: readonly string[]): DiscoveryFlags {
  return addDiscoveryOptions(new Command('test')).parse(args, { from: 'user' }).opts();
}

const k8s = ['--service-discovery', 'k8s'];

describe('discoveryFromFlags()', () => {
  it.each<[string[], object | undefined]>([
    [[], undefined],
    [['--service-discovery', 'static'], { type: 'static' }],
    [
      ['--static-backends', 'http://a:1,https://[::1]'],
      {
        static: {
          backends: [
            { url: 'http://a:1', models: [] },
            { url: 'https://[::1]:443', models: [] },
          ],
        },
      },
    ],
    [
      ['--service-discovery', 'static', '--static-backends', 'http://a:1', '--static-models', 'm'],
      { type: 'static', static: { backends: [{ url: 'http://a:1', models: ['m'] }] } },
    ],
    [k8s, { type: 'kubernetes' }],
    [
      [...k8s, '--k8s-namespace', 'one, two'],
      { type: 'kubernetes', kubernetes: { pods: [{ namespaces: ['one', 'two'] }] } },
    ],
    [[...k8s, '--k8s-port', '9000'], { type: 'kubernetes', kubernetes: { pods: [{ port: 9000 }] } }],
    [[...k8s, '--k8s-port', 'http'], { type: 'kubernetes', kubernetes: { pods: [{ port: 'http' }] } }],
    [
      [...k8s, '--k8s-label-selector', 'app in (a, b),!old'],
      { type: 'kubernetes', kubernetes: { pods: [{ labelSelectors: ['app in (a, b),!old'] }] } },
    ],
    [[...k8s, '--k8s-label-selector', ''], { type: 'kubernetes', kubernetes: { pods: [{}] } }],
    // A variable that was not set, perhaps: it is for the schema to refuse.
    [[...k8s, '--k8s-namespace', ''], { type: 'kubernetes', kubernetes: { pods: [{ namespaces: [''] }] } }],
  ])('of %j is what the file would say', (args, section) => {
    expect(discoveryFromFlags(flagsOf(...args))).toEqual(section);
  });

  const apart = 'engines are listed, or found in Kubernetes; leave out one of the two';
  it.each([
    [['--static-models', 'm'], 'Cannot use --static-models without --static-backends'],
    [
      ['--k8s-namespace', 'a'],
      'Cannot use --k8s-namespace without --service-discovery k8s: it says which pods are engines',
    ],
    [
      ['--service-discovery', 'static', '--k8s-port', '1'],
      'Cannot use --k8s-port without --service-discovery k8s',
    ],
    [
      ['--static-backends', 'http://a:1', '--k8s-label-selector', ''],
      'Cannot use --k8s-label-selector without --service-discovery k8s',
    ],
    [
      [...k8s, '--static-backends', 'http://a:1'],
      `Cannot use --static-backends with --service-discovery k8s: ${apart}`,
    ],
    [[...k8s, '--static-models', 'm'], `Cannot use --static-models with --service-discovery k8s: ${apart}`],
  ])('refuses %j', (args, message) => {
    expect(() => discoveryFromFlags(flagsOf(...args))).toThrow(message);
  });
});

describe('discoveryBelowFile()', () => {
  const allPods = { discovery: { kubernetes: { pods: [{}] } } };
  it.each<[string, string[], object, object]>([
    ['all pods of the own namespace where the file says nothing', k8s, {}, allPods],
    ['the same beside other fields', k8s, { discovery: { dnsInterval: '1m' } }, allPods],
    ['nothing where the file says it', k8s, { discovery: { kubernetes: { services: [] } } }, {}],
    ['nothing where the file leaves the section empty', k8s, { discovery: { kubernetes: {} } }, {}],
    ['nothing without --service-discovery k8s', [], {}, {}],
    ['nothing with --service-discovery static', ['--service-discovery', 'static'], {}, {}],
  ])('is %s', (_, args, file, expected) => {
    expect(discoveryBelowFile(flagsOf(...args), { ...file })).toEqual(expected);
  });
});
