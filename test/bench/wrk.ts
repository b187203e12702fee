/** wrk, the HTTP load generator: a closed loop over a few connections. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import type { Bench } from './bench.ts';
import { conversationRequests } from './conversation-requests.ts';
import { promptBody } from './prompts.ts';

export interface WrkFigure {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Responses other than 2xx and 3xx, and connections that broke. */
  readonly failed: number;
}

const wrkCommand = 'wrk';

/** @throws Error with the command that installs it where there is none. */
export function requireWrk(): void {
  if (spawnSync(wrkCommand, ['--version'], { stdio: 'ignore' }).error === undefined) return;
  throw new Error('Cannot measure through Envoy without wrk; run `apt-get update && apt-get install -y wrk`');
}

export interface WrkLoad {
  readonly url: string;
  readonly bodyBytes: number;
  readonly connections: number;
  readonly seconds: number;
  /** Default: the same prompt again and again. */
  readonly prompts?: 'same' | 'conversations';
}

/** POSTs chat completions to a URL for whole seconds. */
export async function runWrk(bench: Bench, load: WrkLoad): Promise<WrkFigure> {
  const { url, bodyBytes, prompts = 'same' } = load;
  const script = path.join(bench.folder, `post-${prompts}-${bodyBytes}.lua`);
  const lua = prompts === 'same' ? sameRequest(bodyBytes) : conversationRequests(url, bodyBytes);
  writeFileSync(script, lua + reportWhenDone);
  const wrk = bench.children.start(
    wrkCommand,
    ['-t1', `-c${load.connections}`, `-d${load.seconds}s`, '-s', script, url],
    { name: 'wrk', stdout: 'pipe' },
  );
  const exited = once(wrk.process, 'exit');
  wrk.failed.catch(() => undefined);
  const output = await text(wrk.process.stdout!);
  await exited;
  const line = /^sluice-bench (.*)$/m.exec(output)?.[1];
  if (line === undefined) throw new Error(`Cannot read what wrk measured: ${output}`);
  const [requests, microseconds, p50, p99, failed] = line.split(' ').map(Number);
  return {
    requests: requests!,
    perSecond: (requests! * 1e6) / microseconds!,
    p50Ms: p50! / 1000,
    p99Ms: p99! / 1000,
    failed: failed!,
  };
}

/** The body has no character that a long bracket string would change. */
function sameRequest(bodyBytes: number): string {
  return `
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["content-type"] = "application/json"
wrk.body = [==[${promptBody(bodyBytes).toString()}]==]
`;
}

const reportWhenDone = `
function done(summary, latency)
  local errors = summary.errors
  print(string.format("sluice-bench %d %d %d %d %d", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
`;
