import { describe, expect, it } from '@jest/globals';
import { kubeconfigCredentials } from '../../src/kube/kubeconfig.ts';
import { scratchFolder } from './support/scratch.ts';

const scratch = scratchFolder();

interface Said {
  readonly cluster?: object;
  readonly user?: object;
  readonly namespace?: string;
  readonly name?: string;
}

function kubeconfig({ cluster, user, namespace, name = 'prod' }: Said = {}): string {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server: `https://${name}.example:6443/`, ...cluster } }],
    users: [{ name, user: { token: `${name}-token`, ...user } }],
    contexts: [
      { name, context: { cluster: name, user: name, ...(namespace === undefined ? {} : { namespace }) } },
    ],
  };
  return scratch.write(`${name}.yaml`, JSON.stringify(config));
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('kubeconfigCredentials()', () => {
  it('gives the server, the namespace and a token', async () => {
    const credentials = await kubeconfigCredentials([kubeconfig({ namespace: 'team-a' })], undefined);
    expect(credentials).toMatchObject({ server: 'https://prod.example:6443', namespace: 'team-a' });
    expect(await credentials.identity()).toEqual({
      headers: { authorization: 'Bearer prod-token' },
      tls: {},
    });
  });

  it('gives certificates, of files beside it or in its text', async () => {
    scratch.write('client.crt', 'CERT');
    const file = kubeconfig({
      cluster: { 'certificate-authority-data': base64('CA'), 'tls-server-name': 'api' },
      user: { token: undefined, 'client-certificate': 'client.crt', 'client-key-data': base64('KEY') },
    });
    const credentials = await kubeconfigCredentials([file], undefined);
    expect(await credentials.identity()).toEqual({
      headers: {},
      tls: { ca: Buffer.from('CA'), cert: Buffer.from('CERT'), key: Buffer.from('KEY'), servername: 'api' },
    });
  });

  it('gives a name and a password, and trusts whom it is told to trust', async () => {
    const file = kubeconfig({
      cluster: { 'insecure-skip-tls-verify': true },
      user: { token: undefined, username: 'me', password: 'secret' },
    });
    const credentials = await kubeconfigCredentials([file], undefined);
    expect(await credentials.identity()).toEqual({
      headers: { authorization: `Basic ${base64('me:secret')}` },
      tls: { rejectUnauthorized: false },
    });
  });

  it('takes the context that is named, in whichever file it is', async () => {
    const files = [kubeconfig(), kubeconfig({ name: 'test' })];
    await expect(kubeconfigCredentials(files, undefined)).resolves.toMatchObject({
      server: 'https://prod.example:6443',
      namespace: 'default',
    });
    await expect(kubeconfigCredentials(files, 'test')).resolves.toMatchObject({
      server: 'https://test.example:6443',
    });
  });

  it('asks a program, keeps what it says, and asks again once that was refused', async () => {
    const calls = scratch.at('calls');
    const credential = `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t'$(wc -l < ${calls})'"}}`;
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: 'sh',
      args: ['-c', `echo >> ${calls}; echo '${credential}'`],
    };
    const credentials = await kubeconfigCredentials(
      [kubeconfig({ user: { token: undefined, exec } })],
      undefined,
    );
    const token = async (): Promise<string | undefined> =>
      (await credentials.identity()).headers['authorization'];
    expect(await Promise.all([token(), token()])).toEqual(['Bearer t1', 'Bearer t1']);
    expect(await token()).toBe('Bearer t1');
    credentials.refused();
    expect(await token()).toBe('Bearer t2');
  });

  it('reads the file again once its token was refused', async () => {
    const credentials = await kubeconfigCredentials([kubeconfig()], undefined);
    kubeconfig({ user: { token: 'newer' } });
    expect((await credentials.identity()).headers).toEqual({ authorization: 'Bearer prod-token' });
    credentials.refused();
    expect((await credentials.identity()).headers).toEqual({ authorization: 'Bearer newer' });
  });

  it('rejects, and recovers, where the file is broken when it is read again', async () => {
    const credentials = await kubeconfigCredentials([kubeconfig()], undefined);
    scratch.write('prod.yaml', '][');
    credentials.refused();
    await expect(credentials.identity()).rejects.toThrow();
    kubeconfig();
    await expect(credentials.identity()).resolves.toMatchObject({
      headers: { authorization: 'Bearer prod-token' },
    });
  });

  it.each<[string, () => string, string | undefined, RegExp]>([
    [
      'a file that is not there',
      () => scratch.at('none'),
      undefined,
      /^Cannot use the kubeconfig ".*none": ENOENT/,
    ],
    [
      'a file that is none',
      () => scratch.write('broken', ']['),
      undefined,
      /^Cannot use the kubeconfig ".*broken": /,
    ],
    [
      'a context that is not there',
      () => kubeconfig(),
      'stage',
      /^Cannot use the context "stage" of the kubeconfig ".*prod\.yaml": it is not complete in it; there are prod$/,
    ],
    [
      'a proxy',
      () => kubeconfig({ cluster: { 'proxy-url': 'http://proxy' } }),
      undefined,
      /: Sluice does not speak to API servers by a proxy-url$/,
    ],
  ])('refuses %s', async (_, file, context, message) => {
    await expect(kubeconfigCredentials([file()], context)).rejects.toThrow(message);
  });
});
