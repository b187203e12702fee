/**
 * `make run`: simulated engines, a real Envoy, and Sluice beside it. Ctrl-C lets running exchanges finish and stops
 * everything that was started here.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { startRouter } from '../src/app.ts';
import { runApp } from '../src/cli/run-app.ts';
import { loadConfig } from '../src/config/load.ts';
import { parseBackends } from '../src/discovery/static.ts';

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

try {
  const urls = await engineUrls(Number(values.engines));
  const config = loadConfig(values.config);
  const url = `http://localhost:${values.port}`;
  await runApp(
    () =>
      startRouter({
        config: { ...config, admin: { ...config.admin, port: 0 }, log: { ...config.log, format: 'pretty' } },
        backends: parseBackends(urls.join(','), undefined),
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
  Ctrl-C stops everything.

`;
}
