import { describe, expect, it } from '@jest/globals';
import { findCredentials } from '../../src/kube/credentials.ts';
import { scratchFolder } from './support/scratch.ts';

const scratch = scratchFolder();

function kubeconfig(name: string): string {
  const config = {
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server: `https://${path(name)}` } }],
    users: [{ name: 'c', user: { token: 't' } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'c' } }],
  };
  return scratch.write(name, JSON.stringify(config));
}

const path = (name: string): string => name.replaceAll('/', '-').replace(/^\./, '');

describe('findCredentials()', () => {
  it('looks in one place after the other', async () => {
    const [given, listed, ofUser] = [kubeconfig('given'), kubeconfig('listed'), kubeconfig('.kube/config')];
    expect(ofUser).toBe(scratch.at('.kube/config'));
    scratch.write('account/token', 't');
    const serviceAccount = scratch.at('account');
    const pod = { KUBERNETES_SERVICE_HOST: 'in-cluster' };
    const home = { HOME: scratch.at('') };
    const server = async (options: Parameters<typeof findCredentials>[0]): Promise<string> =>
      (await findCredentials(options)).server;

    const all = { ...pod, ...home, KUBECONFIG: listed };
    expect(await server({ kubeconfig: given, env: all, serviceAccount })).toBe('https://given');
    expect(await server({ env: all, serviceAccount })).toBe('https://listed');
    expect(await server({ env: { ...pod, ...home, KUBECONFIG: '' }, serviceAccount })).toBe(
      'https://in-cluster:443',
    );
    expect(await server({ env: home, serviceAccount })).toBe('https://kube-config');
  });

  it('says where it looked', async () => {
    const home = scratch.at('home');
    const serviceAccount = scratch.at('account');
    await expect(findCredentials({ env: { HOME: home }, serviceAccount })).rejects.toThrow(
      `Cannot find a Kubernetes API server: KUBECONFIG is not set, "${serviceAccount}" holds no service account, and ` +
        `there is no "${home}/.kube/config"; name a kubeconfig, or run Sluice in a pod that mounts its service account's token`,
    );
  });
});
