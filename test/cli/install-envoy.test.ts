import { describe, expect, it, jest } from '@jest/globals';
import { installEnvoyCommand } from '../../src/cli/install-envoy.ts';

async function complaint(...args: string[]): Promise<string> {
  let text = '';
  const command = installEnvoyCommand()
    .exitOverride()
    .configureOutput({ writeErr: (part) => (text += part) });
  await command.parseAsync(args, { from: 'user' }).catch(() => undefined);
  return text;
}

describe('installEnvoyCommand()', () => {
  it('refuses what is not a version', async () => {
    expect(await complaint('--version', 'latest')).toContain(
      'Cannot read Envoy version "latest": expected three numbers, like 1.40.0',
    );
  });

  it('passes on what stands in the way', async () => {
    const write = jest.spyOn(process.stdout, 'write').mockReturnValue(true);
    const text = await complaint('--version', '1.2.3', '--python', 'no-such-python');
    write.mockRestore();
    expect(text).toContain('error: Cannot install Envoy: "no-such-python" is not on PATH');
  });
});
