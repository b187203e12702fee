import { describe, expect, it } from '@jest/globals';
import { eventually } from '../../support/eventually.ts';
import { startEnvoyRig } from '../support/envoy-rig.ts';
import { json, startFakeEngine } from '../support/fake-engine.ts';

/** One exchange through an Envoy that writes lines so; resolves with its line. */
async function lineOf(accessLog: 'text' | 'json'): Promise<{ line: string; port: number }> {
  const engine = await startFakeEngine(json({ usage: { prompt_tokens: 7, completion_tokens: 2 } }));
  const rig = await startEnvoyRig({ accessLog });
  try {
    await rig.routeTo(engine.port);
    await fetch(`${rig.url}/v1/completions?key=secret`, { method: 'POST', body: '{}' });
    await eventually(() => rig.accessLogLines.length > 0);
    return { line: rig.accessLogLines[0]!, port: engine.port };
  } finally {
    await rig.stop();
    await engine.stop();
  }
}

describe('accessLogs()', () => {
  it('writes a line that a person can read, with the decision in it and the query string not', async () => {
    const { line, port } = await lineOf('text');
    expect(line).toMatch(/^\d{4}-\d\d-\d\dT\S+ POST \/v1\/completions 200 /);
    expect(line).toContain(` upstream=127.0.0.1:${port} attempts=1 chosen=127.0.0.1:${port} `);
    expect(line).toContain('"exchange":"exchange-1"');
    expect(line).toContain('"input_tokens":7');
    expect(line).not.toContain('secret');
  }, 20_000);

  it('writes JSON where machines read', async () => {
    const { line, port } = await lineOf('json');
    expect(JSON.parse(line)).toMatchObject({
      method: 'POST',
      path: '/v1/completions',
      status: 200,
      upstream: `127.0.0.1:${port}`,
      decision: { exchange: 'exchange-1', model: 'm' },
      usage: { input_tokens: 7, output_tokens: 2 },
    });
  }, 20_000);
});
