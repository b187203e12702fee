import { describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { vllmRouterCommand } from '../../src/cli/vllm-router.ts';

const root = path.resolve(import.meta.dirname, '../..');

/** Runs the binary until it ends. */
function run(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [path.join(root, 'src/vllm-router.ts'), ...args], { stdio: 'pipe' });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, stdout, stderr })));
}

describe('vllmRouterCommand()', () => {
  it('fails with all that is wrong before anything is started', async () => {
    await expect(vllmRouterCommand().parseAsync(['--port', 'x'], { from: 'user' })).rejects.toThrow(
      /^Cannot use the command line: 3 faults\n {2}--port: .*\n {2}--service-discovery: .*\n {2}--routing-logic: /,
    );
  });
});

describe('vllm-router', () => {
  it('says its version, which is that of the package', async () => {
    const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(await run('--version')).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('ends with 1 and one sentence for each fault', async () => {
    const { code, stdout, stderr } = await run('--service-discovery', 'static', '--routing-logic', 'session');
    expect([code, stdout, stderr.trimEnd().split('\n')]).toEqual([
      1,
      '',
      [
        'vllm-router: Cannot use the command line: 2 faults',
        '  --static-backends: is missing: name the URLs of the engines',
        '  --session-key: is missing: name the header that holds the session',
      ],
    ]);
  });

  it('ends with 1 at an option that there is not, and names the nearest', async () => {
    const { code, stderr } = await run('--static-backend', 'http://a:1');
    expect([code, stderr]).toEqual([
      1,
      "error: unknown option '--static-backend'\n(Did you mean --static-backends?)\n",
    ]);
  });
});
