import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { rootCertificates } from 'node:tls';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { envoyConfigCommand } from '../../src/cli/envoy-config.ts';
import { downloadTimeoutMs, envoyBinary } from '../support/envoy.ts';

const folder = path.resolve(import.meta.dirname, '../../envoy');
const authorities = '/etc/ssl/certs/ca-certificates.crt';

const examples: readonly (readonly [file: string, version: string, args: readonly string[]])[] = [
  ['attached.yaml', '1.40.0', []],
  ['unix-socket.yaml', '1.40.0', ['--ext-proc', 'unix:/run/sluice/grpc.sock']],
  ['envoy-1.37.yaml', '1.37.0', ['--envoy-version', '1.37.0']],
];

afterEach(() => {
  jest.restoreAllMocks();
});

describe('envoy/', () => {
  it.each(examples)('%s is what envoy-config prints', async (file, _, args) => {
    let printed = '';
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
      printed += String(text);
      return true;
    });
    await envoyConfigCommand().parseAsync(['--engine-ca', authorities, ...args], { from: 'user' });
    expect(parse(await readFile(path.join(folder, file), 'utf8'))).toEqual(parse(printed));
  });

  it.each(examples)(
    '%s is valid for Envoy %s',
    async (file, version) => {
      const work = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
      try {
        // Not every machine has Debian's file.
        const text = await readFile(path.join(folder, file), 'utf8');
        await writeFile(path.join(work, 'ca.pem'), rootCertificates[0]!);
        await writeFile(path.join(work, 'envoy.yaml'), text.replace(authorities, path.join(work, 'ca.pem')));
        const { stdout } = await promisify(execFile)(await envoyBinary(version), [
          ...['--mode', 'validate', '-l', 'error', '-c', path.join(work, 'envoy.yaml')],
        ]);
        expect(stdout).toContain('OK');
      } finally {
        await rm(work, { recursive: true });
      }
    },
    downloadTimeoutMs,
  );
});
