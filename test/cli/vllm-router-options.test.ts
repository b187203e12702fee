import { describe, expect, it } from '@jest/globals';
import { Command } from 'commander';
import { addVllmRouterOptions, optionOf } from '../../src/cli/vllm-router-options.ts';

const command = () => addVllmRouterOptions(new Command('vllm-router')).exitOverride();

describe('addVllmRouterOptions()', () => {
  it("understands every option of vllm-router's README", () => {
    const args = [
      ...['--host', 'a', '--port', 'b'],
      ...['--service-discovery', 'c', '--static-backends', 'd', '--static-models', 'e'],
      ...['--k8s-port', 'f', '--k8s-namespace', 'g', '--k8s-label-selector', 'h'],
      ...['--routing-logic', 'i', '--session-key', 'j'],
      ...['--engine-stats-interval', 'k', '--request-stats-window', 'l', '--log-stats'],
      ...['--dynamic-config-json', 'm'],
    ];
    expect(command().parse(args, { from: 'user' }).opts()).toEqual({
      host: 'a',
      port: 'b',
      serviceDiscovery: 'c',
      staticBackends: 'd',
      staticModels: 'e',
      k8sPort: 'f',
      k8sNamespace: 'g',
      k8sLabelSelector: 'h',
      routingLogic: 'i',
      sessionKey: 'j',
      engineStatsInterval: 'k',
      requestStatsWindow: 'l',
      logStats: true,
      dynamicConfigJson: 'm',
    });
  });

  it('leaves out of the options what is not given', () => {
    expect(command().parse([], { from: 'user' }).opts()).toEqual({});
  });

  it('understands values behind an equals sign', () => {
    expect(command().parse(['--static-aliases=a:b'], { from: 'user' }).opts()).toEqual({
      staticAliases: 'a:b',
    });
  });

  it('shows in the help, in groups, what there is to choose, and nothing that is refused', () => {
    const help = command().helpInformation();
    const headings = [...help.matchAll(/^(\S.*):$/gm)].map(([, heading]) => heading);
    expect(headings).toEqual([
      'Where clients connect',
      'Engines',
      'Engines in Kubernetes',
      'Routing',
      'Statistics and log',
      'Files',
      'Sluice',
      'Options',
    ]);
    expect(help).toMatch(/--port <port> +port to listen on \(default: 8001\)/);
    expect(help).not.toMatch(/--(backend-health|lmcache|sentry|otel|root-path)/);
  });
});

describe('optionOf()', () => {
  it('is how commander reads it, backwards', () => {
    for (const option of command().options) {
      expect(optionOf(option.attributeName())).toBe(option.long);
      expect(optionOf(option.long!.slice(2).replaceAll('-', '_'))).toBe(option.long);
    }
  });
});
