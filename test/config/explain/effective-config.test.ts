import { describe, expect, it } from '@jest/globals';
import { effectiveConfig } from '../../../src/config/explain/effective-config.ts';
import { configForm } from '../../../src/config/json-schema.ts';
import { parseConfig } from '../../../src/config/load.ts';

function effective(text: string) {
  return effectiveConfig(configForm(), parseConfig(text, 'f'));
}

describe('effectiveConfig()', () => {
  it.each([
    ['nothing', ''],
    [
      'a bit of everything',
      'limits: {drainTimeout: 90, maxBodyBytes: 1MiB}\nlog: {access: false}\nroutes: {allow: [/x]}',
    ],
    [
      'plugins under other names, with arguments in other spellings',
      `scheduler:
  pluginConfig: [{ name: least-request, args: { MAXWAITINGREQUESTS: 3 } }, { name: prefix-cache }, { name: least-latency, args: null }]
  plugins:
    Filter: { enabled: [lora-affinity, least-request] }
    Score: { enabled: [{ name: gpu-usage, weight: 0.5 }, { name: prefix-cache, weight: 2 }], disabled: [prefix-cache] }`,
    ],
    ['engines', 'discovery: {static: {backends: [{url: "http://a:1"}, {url: "http://b:2", models: [m]}]}}'],
  ])('means the same when it is loaded again: %s', (_, text) => {
    const once = effective(text);
    expect(parseConfig(JSON.stringify(once), 'f').config).toEqual(parseConfig(text, 'f').config);
    expect(effective(JSON.stringify(once))).toEqual(once);
  });

  it('adds every default in the written form, and leaves what is written as it is', () => {
    expect(
      effective('limits: {maxBodyBytes: 65536}\ndiscovery: {static: {backends: [{url: "http://a:1"}]}}'),
    ).toMatchObject({
      limits: { maxBodyBytes: 65_536, maxBodyDepth: 128, drainTimeout: '30s' },
      scrape: { interval: '1s', unhealthyAfter: 3 },
      discovery: { dnsInterval: '10s', static: { backends: [{ url: 'http://a:1', models: [] }] } },
    });
  });

  it('leaves out fields without a default', () => {
    expect(effective('')).toHaveProperty('envoy.upstreamTls', { insecureSkipVerify: false });
  });

  it('has the plugins that run under their proper names, with all of their arguments', () => {
    const { scheduler } = effective(`
pluginConfig: [{ name: least-request, args: { maxwaitingrequests: 3 } }, { name: prefix-cache, args: { topKMatches: 1 } }]
plugins:
  Filter: { enabled: [] }
  Score: { enabled: [{ name: gpu-usage, weight: 2 }, { name: least-request, weight: 1 }] }`);
    expect(scheduler).toEqual({
      pluginConfig: [{ name: 'least-request', args: { maxWaitingRequests: 3, loadScale: 10 } }],
      plugins: {
        Filter: { enabled: [], disabled: [] },
        Score: {
          enabled: [
            { name: 'kv-cache', weight: 2 },
            { name: 'least-request', weight: 1 },
          ],
          disabled: [],
        },
      },
      maxEndpoints: 3,
    });
  });
});
