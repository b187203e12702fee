import { afterEach, describe, expect, it } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEngine } from '../engine-sim/support.ts';

const moduleUrl = new URL('../../src/cli/simulate.ts', import.meta.url).href;
const script = `const { simulateCommand } = await import(${JSON.stringify(moduleUrl)}); await simulateCommand().parseAsync();`;
const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

interface Run {
  readonly child: ChildProcess;
  /** Ends with the process. */
  readonly ended: Promise<{ code: number | null; stdout: string; stderr: string }>;
  /** Ends when so many lines were printed. */
  lines(count: number): Promise<string[]>;
}

function simulate(...args: string[]): Run {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, '--', ...args], {
    stdio: 'pipe',
  });
  children.push(child);
  let stdout = '';
  let stderr = '';
  let wake: () => void = () => undefined;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    wake();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
  const lines = async (count: number): Promise<string[]> => {
    while (stdout.split('\n').length <= count) await new Promise<void>((resolve) => (wake = resolve));
    return stdout.trimEnd().split('\n');
  };
  return { child, ended, lines };
}

describe('sluice simulate', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'prints the URL of each engine, serves, and ends with 0 on %s',
    async (signal) => {
      const run = simulate('--engines', '2', '--base-port', '0', '--model', 'm', '--lora', 'a, b');
      const printed = await run.lines(2);
      expect(printed).toEqual([
        expect.stringMatching(/^engine 1: http:\/\/127\.0\.0\.1:\d+$/),
        expect.stringMatching(/^engine 2: /),
      ]);
      const response = await fetch(`${printed[1]?.slice('engine 2: '.length) ?? ''}/v1/models`);
      expect(await response.json()).toMatchObject({ data: [{ id: 'm' }, { id: 'a' }, { id: 'b' }] });
      run.child.kill(signal);
      expect((await run.ended).code).toBe(0);
    },
  );

  it('ends with 1 and says which port is in use', async () => {
    const { port } = await startEngine();
    const { code, stdout, stderr } = await simulate('--base-port', String(port), '--model', 'm').ended;
    expect([code, stdout, stderr]).toEqual([
      1,
      '',
      `error: Cannot listen on "127.0.0.1:${port}": the port is in use\n`,
    ]);
  });

  it('ends with 1 and says what is wrong with a profile', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-profile-'));
    try {
      const file = join(folder, 'p.json');
      await writeFile(file, '{"stepBaseMs": -1}');
      const { code, stderr } = await simulate('--model', 'm', '--profile', file).ended;
      expect([code, stderr]).toEqual([
        1,
        `error: Cannot use profile "${file}": stepBaseMs: Too small: expected number to be >0\n`,
      ]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.each([
    [['--engines', '0'], /'--engines <count>' argument '0' is invalid/],
    [['--speed', 'fast'], /'--speed <factor>' argument 'fast' is invalid/],
    [['--metrics', 'v2'], /Allowed choices are v0, v1/],
    [[], /required option '--model <name>' not specified/],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await simulate(...args).ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });
});
