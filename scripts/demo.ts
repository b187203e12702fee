/**
 * `make run`: simulated engines, a real Envoy, and Sluice beside it. Ctrl-C lets running exchanges finish and stops
 * everything that was started here.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { runApp } from '../src/cli/run-app.ts';
import { loadConfig } from '../src/config/load.ts';
import { startRouter } from '../src/router.ts';

/** A copy to play with; a configuration of one's own is taken where it is. */
const playground = '.cache/demo/sluice.yaml';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '8001' },
    engines: { type: 'string', default: '3' },
    model: { type: 'string', default: 'demo' },
    config: { type: 'string' },
  },
});

// A process group of its own: the engines must outlive Ctrl-C until running exchanges have ended.
const engines = spawn(
  process.execPath,
  ['src/main.ts', 'simulate', '--engines', values.engines, '--base-port', '0', '--model', values.model],
  { detached: true, stdio: ['ignore', 'pipe', 'inherit'] },
);
process.on('exit', () => engines.kill());

const config = values.config ?? playground;

try {
  if (values.config === undefined) {
    await mkdir(path.dirname(playground), { recursive: true });
    await copyFile('examples/sluice.yaml', playground);
  }
  const urls = await engineUrls(Number(values.engines));
  const flags = {
    admin: { port: 0 },
    log: { format: 'pretty' },
    discovery: { static: { backends: urls.map((url) => ({ url })) } },
  };
  const load = (refuseEmpty: boolean) => loadConfig(config, { env: process.env, flags, refuseEmpty });
  const url = `http://localhost:${values.port}`;
  await runApp(
    () =>
      startRouter({
        loaded: load(false),
        reload: () => load(true),
        source: config,
        listen: `127.0.0.1:${values.port}`,
      }),
    (app) => {
      void app
        .ready(AbortSignal.timeout(10_000))
        .then(() => process.stdout.write(invitation(url, app.adminUrl)));
    },
  );
} catch (error) {
  process.stderr.write(`Cannot run the demo: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
} finally {
  engines.kill();
}

/** Waits until every engine has printed its URL. */
async function engineUrls(count: number): Promise<string[]> {
  const urls: string[] = [];
  const lines = createInterface({ input: engines.stdout });
  const exited = once(engines, 'exit').then(() => {
    throw new Error('the simulated engines ended before they served');
  });
  const started = (async () => {
    for await (const line of lines) {
      const url = /http:\/\/\S+/.exec(line)?.[0];
      if (url !== undefined) urls.push(url);
      if (urls.length === count) return;
    }
  })();
  await Promise.race([started, exited]);
  exited.catch(() => undefined);
  return urls;
}

function invitation(url: string, adminUrl: string): string {
  const body = JSON.stringify({
    model: values.model,
    messages: [{ role: 'user', content: 'Hello!' }],
    stream: true,
  });
  return `
  Ready: ${url}. Try

    curl -N ${url}/v1/chat/completions -H 'content-type: application/json' \\
      -d '${body}'

  Each line of log below is one exchange with the decision for it. Why it was made: ${adminUrl}/debug/decisions
  Edit ${config} and save it: the next decision follows.
  Ctrl-C stops everything.

`;
}
