import { describe, expect, it } from '@jest/globals';
import { inClusterCredentials, isInCluster } from '../../src/kube/in-cluster.ts';
import { scratchFolder } from './support/scratch.ts';

const scratch = scratchFolder();
const env = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '6443' };

function serviceAccount(): string {
  scratch.write('token', 'first\n');
  scratch.write('ca.crt', 'CA\n');
  scratch.write('namespace', 'inference\n');
  return scratch.at('');
}

describe('isInCluster()', () => {
  it('needs the API server and a token', () => {
    const folder = serviceAccount();
    expect(isInCluster(env, folder)).toBe(true);
    expect(isInCluster({}, folder)).toBe(false);
    expect(isInCluster({ KUBERNETES_SERVICE_HOST: '' }, folder)).toBe(false);
    expect(isInCluster(env, scratch.at('elsewhere'))).toBe(false);
  });
});

describe('inClusterCredentials()', () => {
  it('names the API server, and its own namespace', () => {
    const folder = serviceAccount();
    expect(inClusterCredentials(env, folder)).toMatchObject({
      server: 'https://10.96.0.1:6443',
      namespace: 'inference',
    });
    expect(inClusterCredentials({ KUBERNETES_SERVICE_HOST: 'fd00::1' }, folder).server).toBe(
      'https://[fd00::1]:443',
    );
    expect(inClusterCredentials(env, scratch.at('elsewhere')).namespace).toBe('default');
  });

  it('takes the token and the authority that are there at each request', async () => {
    const credentials = inClusterCredentials(env, serviceAccount());
    expect(await credentials.identity()).toEqual({
      headers: { authorization: 'Bearer first' },
      tls: { ca: 'CA' },
    });
    scratch.write('token', 'second');
    scratch.write('ca.crt', 'other CA');
    expect(await credentials.identity()).toEqual({
      headers: { authorization: 'Bearer second' },
      tls: { ca: 'other CA' },
    });
  });

  it('rejects where the token is gone', async () => {
    const credentials = inClusterCredentials(env, scratch.at('elsewhere'));
    await expect(credentials.identity()).rejects.toThrow('ENOENT');
  });
});
