import { describe, expect, it } from '@jest/globals';
import { Command } from 'commander';
import { addRefusedOptions, refusalsOf } from '../../src/cli/vllm-router-refusals.ts';

function refused(...args: readonly string[]): [string, string][] {
  const command = addRefusedOptions(new Command('test')).exitOverride();
  return refusalsOf(command.parse(args, { from: 'user' }).opts());
}

describe('refusalsOf()', () => {
  it.each([
    [['--root-path', '/llm'], 'let the proxy in front remove the prefix'],
    [['--kv-aware-threshold', '2000'], 'use --routing-logic prefixaware'],
    [['--lmcache-controller-port', '9000'], 'use --routing-logic prefixaware'],
    [['--lmcache-controller-reply-port', '9001'], 'use --routing-logic prefixaware'],
    [['--lmcache-controller-heartbeat-port', '9002'], 'use --routing-logic prefixaware'],
    [['--lmcache-health-check-interval', '5'], 'use --routing-logic prefixaware'],
    [['--lmcache-worker-timeout', '30'], 'use --routing-logic prefixaware'],
    [['--prefill-model-labels', 'p'], 'with --routing-logic loadaware'],
    [['--decode-model-labels', 'd'], 'with --routing-logic loadaware'],
    [['--callbacks', 'my.module.instance'], 'do in a proxy in front what the callbacks do'],
    [['--request-rewriter', 'mine'], 'use --static-aliases'],
    [['--enable-batch-api'], 'send each request to /v1/chat/completions'],
    [['--file-storage-class', 'local_file'], 'send each request to /v1/chat/completions'],
    [['--file-storage-path', '/files'], 'send each request to /v1/chat/completions'],
    [['--batch-processor', 'local'], 'send each request to /v1/chat/completions'],
    [['--external-providers-config', 'providers.yaml'], 'let a gateway in front choose'],
    [['--feature-gates', 'PIIDetection=false,SemanticCache=true'], 'neither SemanticCache nor PIIDetection'],
    [['--semantic-cache-model', 'm'], 'with --routing-logic prefixaware'],
    [['--semantic-cache-dir', 'd'], 'with --routing-logic prefixaware'],
    [['--semantic-cache-threshold', '0.9'], 'with --routing-logic prefixaware'],
    [['--sentry-dsn', 'https://x'], '--log-format json'],
    [['--sentry-traces-sample-rate', '0.1'], '--log-format json'],
    [['--sentry-profile-session-sample-rate', '1'], '--log-format json'],
    [['--otel-endpoint', 'x:4317'], 'times are in /metrics'],
    [['--otel-service-name', 'x'], 'times are in /metrics'],
    [['--otel-secure'], 'times are in /metrics'],
  ])('says of %j what to use instead', (args, instead) => {
    expect(refused(...args)).toEqual([[args[0], expect.stringContaining(instead)]]);
  });

  it.each([
    [[]],
    [['--root-path', '']],
    [['--callbacks', '']],
    [['--request-rewriter', 'noop']],
    [['--feature-gates', '']],
    [['--feature-gates', 'SemanticCache=false,PIIDetection']],
  ])('lets pass %j, which asks for nothing', (args) => {
    expect(refused(...args)).toEqual([]);
  });

  it('tells of all at once', () => {
    expect(refused('--otel-secure', '--callbacks', 'a.b').map(([option]) => option)).toEqual([
      '--callbacks',
      '--otel-secure',
    ]);
  });
});
