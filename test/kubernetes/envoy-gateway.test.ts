import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { signingKey } from '../auth/support/tokens.ts';
import { chatBody } from '../support/chat.ts';
import { makeCertificate } from '../support/certificates.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { startIssuer, type Issuer } from '../support/issuer.ts';
import {
  startBehindEnvoyGateway,
  type BehindEnvoyGateway,
  type BehindEnvoyGatewayOptions,
} from './support/behind-envoy-gateway.ts';
import { standaloneResources } from './support/envoy-gateway.ts';
import { find, kustomized, tool, type KubeManifest } from './support/manifests.ts';

jest.setTimeout(120_000);

type Spec = Readonly<Record<string, unknown>>;

describe('the examples for Envoy Gateway', () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-examples-'));
  });

  afterAll(() => rm(folder, { recursive: true, force: true }));

  const examples: readonly (readonly [name: string, resources: () => Promise<KubeManifest[]>])[] = [
    ['kubernetes', () => kustomized('envoy-gateway/kubernetes')],
    ['jwt', () => kustomized('envoy-gateway/jwt')],
    ['standalone', standaloneResources],
  ];

  async function translate(resources: readonly KubeManifest[], ...to: string[]): Promise<string> {
    const file = path.join(folder, 'all.yaml');
    await writeFile(file, resources.map((each) => stringify(withAddress(each))).join('---\n'));
    return tool('egctl', ['x', 'translate', '--from', 'gateway-api', ...to, '-f', file]);
  }

  /** Without a cluster, a Service is its own address. */
  function withAddress(object: KubeManifest): KubeManifest {
    if (object.kind !== 'Service') return object;
    return { ...object, spec: { ...(object['spec'] as Spec), clusterIP: '10.96.0.10' } };
  }

  it.each(examples)('%s: every resource is accepted', async (_, resources) => {
    const translated = parse(await translate(await resources(), '--to', 'gateway-api')) as unknown;
    const conditions = conditionsIn(translated);
    expect(conditions.filter(({ status }) => status !== 'True')).toEqual([]);
    expect(conditions.filter(({ type }) => type === 'Accepted').length).toBeGreaterThanOrEqual(6);
  });

  it.each(examples)('%s: Envoy asks Sluice and goes where it says', async (_, resources) => {
    const xds = await translate(await resources(), '--to', 'xds', '--type', 'all', '-o', 'json');
    const processor = messageIn(xds, 'envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor');
    expect(processor).toMatchObject({
      statusOnError: { code: 'ServiceUnavailable' },
      messageTimeout: '75s',
      allowModeOverride: true,
      processingMode: { requestBodyMode: 'BUFFERED', requestHeaderMode: 'SEND', responseHeaderMode: 'SEND' },
      metadataOptions: { receivingNamespaces: { untyped: ['envoy.lb', 'sluice'] } },
      responseAttributes: ['upstream.address', 'upstream.request_attempt_count'],
    });
    expect(processor).not.toHaveProperty('failureModeAllow');
    expect(
      messageIn(xds, 'envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost'),
    ).toMatchObject({
      overrideHostSources: [{ header: 'x-gateway-destination-endpoint' }],
    });
    // Not toContain: the text is too long to be printed.
    expect(xds.includes('"envoy.reloadable_features.ext_proc_graceful_grpc_close":true')).toBe(true);
    expect(xds.includes('"perConnectionBufferLimitBytes":16777216')).toBe(true);
  });

  it('jwt: Sluice is told what Envoy found in the token', async () => {
    const resources = await kustomized('envoy-gateway/jwt');
    const xds = await translate(resources, '--to', 'xds', '--type', 'all', '-o', 'json');
    expect(messageIn(xds, 'envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor')).toMatchObject({
      metadataOptions: { forwardingNamespaces: { untyped: ['envoy.filters.http.jwt_authn'] } },
    });
    const authn = messageIn(xds, 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication');
    const [provider] = Object.values(authn['providers'] as Record<string, Spec>) as [Spec];
    const { auth } = parse(String(dataOf(find(resources, 'ConfigMap'))['sluice.yaml'])) as { auth: Spec };
    expect(provider['payloadInMetadata']).toBe(auth['envoyPayload']);
    expect(provider['issuer']).toBe(auth['issuer']);
  });

  it('standalone says what kubernetes says, but for addresses', async () => {
    const [inKubernetes, standalone] = await Promise.all([
      kustomized('envoy-gateway/kubernetes'),
      standaloneResources(),
    ]);
    for (const { kind, ...object } of standalone.filter((each) => each.kind !== 'Backend'))
      expect(withoutAddresses(object)).toEqual(withoutAddresses(find(inKubernetes, kind)));
  });
});

describe('Sluice behind Envoy Gateway', () => {
  let behind: BehindEnvoyGateway | undefined;
  let issuer: Issuer;

  beforeAll(async () => {
    issuer = await startIssuer();
  });

  afterEach(async () => {
    await behind?.stop();
    behind = undefined;
  });

  afterAll(() => issuer.stop());

  async function start(options: BehindEnvoyGatewayOptions = {}): Promise<BehindEnvoyGateway> {
    behind = await startBehindEnvoyGateway(options);
    return behind;
  }

  it('requests go to the engine that Sluice chose', async () => {
    const { ask, exchange, exchanges } = await start();
    for (let turn = 0; turn < 12; turn++) {
      expect(await ask(`turn-${turn}`)).toMatchObject({ status: 200 });
      const line = await exchange(`turn-${turn}`);
      expect(line).toMatchObject({ outcome: 'completed', candidates: 3, attempts: 1, outputTokens: 2 });
      expect(line['servedBy']).toBe(line['endpoint']);
    }
    expect(
      new Set(
        exchanges()
          .map(({ servedBy }) => servedBy)
          .filter(Boolean),
      ).size,
    ).toBeGreaterThan(1);
  });

  it('a stream, and a prompt of 220 KB, arrive whole', async () => {
    const { ask, exchange } = await start();
    const streamed = await ask('streamed', { body: chatBody({ stream: true, tokens: 20 }) });
    expect(streamed.body).toContain('data: [DONE]');
    expect(await exchange('streamed')).toMatchObject({ outcome: 'completed', outputTokens: 20 });
    const long = await ask('long', { body: chatBody({ prompt: 'word '.repeat(44_000) }) });
    expect(long.status).toBe(200);
    expect(Number((await exchange('long'))['inputTokens'])).toBeGreaterThan(40_000);
  });

  it('an engine that is gone is passed over', async () => {
    // Sluice does not find out by itself.
    const { ask, exchange, engines } = await start({ config: { scrape: { interval: '60s' } } });
    const gone = engines[0]!;
    await gone.stop();
    const replies = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(`after-${i}`)));
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 200));
    const lines = await Promise.all(replies.map((_, i) => exchange(`after-${i}`)));
    const passedOver = lines.filter(({ endpoint }) => endpoint === `127.0.0.1:${gone.port}`);
    expect(passedOver.length).toBeGreaterThan(0);
    for (const { attempts, servedBy, ranked } of passedOver) {
      expect(attempts).toBe(2);
      expect(servedBy).toBe((ranked as string[])[1]);
    }
  });

  it('a header of a client chooses nobody', async () => {
    const { ask, exchange, engines } = await start();
    const replies = await Promise.all(
      Array.from({ length: 9 }, (_, i) =>
        ask(`forged-${i}`, {
          headers: [['x-gateway-destination-endpoint', `127.0.0.1:${engines[0]!.port}`]],
        }),
      ),
    );
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 200));
    const lines = await Promise.all(replies.map((_, i) => exchange(`forged-${i}`)));
    for (const { endpoint, servedBy } of lines) expect(servedBy).toBe(endpoint);
    expect(new Set(lines.map(({ servedBy }) => servedBy)).size).toBeGreaterThan(1);
  });

  it('nobody is let in without a token', async () => {
    const { ask, exchange, requestsAtEngines } = await start({ config: { auth: issuer.section } });
    const refused = await ask('refused');
    expect(refused.status).toBe(401);
    expect(refused.headers['www-authenticate']).toContain('Bearer');
    expect(await exchange('refused')).toMatchObject({ status: 401, outcome: 'rejected' });
    const token = await issuer.signed();
    const admitted = await ask('admitted', { headers: [['authorization', `Bearer ${token}`]] });
    expect(admitted.status).toBe(200);
    expect(requestsAtEngines()).toBe(1);
  });

  it('a token that Envoy has checked is not checked again', async () => {
    const example = await kustomized('envoy-gateway/jwt');
    const { auth } = parse(String(dataOf(find(example, 'ConfigMap'))['sluice.yaml'])) as { auth: Spec };
    // With keys of Sluice's own the token would not be good.
    issuer.publish(await signingKey('another'));
    const token = await issuer.signed();
    const { ask, exchanges, requestsAtEngines } = await start({
      config: { auth: { ...issuer.section, envoyPayload: auth['envoyPayload'] } },
      edit: (resources) => [
        ...resources.map((each) => (each.kind === 'EnvoyExtensionPolicy' ? withPayload(each) : each)),
        withLocalKeys(find(example, 'SecurityPolicy'), issuer),
      ],
      token,
    });
    expect((await ask('refused')).status).toBe(401);
    const admitted = await ask('admitted', { headers: [['authorization', `Bearer ${token}`]] });
    expect(admitted.status).toBe(200);
    expect(requestsAtEngines()).toBe(1);
    // Envoy refused the first one: Sluice has not heard of it.
    expect(exchanges().map(({ requestId }) => requestId)).not.toContain('refused');
  });

  describe('that reaches it over TLS', () => {
    const certificate = makeCertificate('DNS:sluice.llm.svc');
    let folder: string;

    beforeAll(async () => {
      folder = await mkdtemp(path.join(tmpdir(), 'sluice-tls-'));
      await writeFile(path.join(folder, 'tls.key'), certificate.key);
      await writeFile(path.join(folder, 'tls.crt'), certificate.cert);
    });

    afterAll(() => rm(folder, { recursive: true }));

    async function startOver(serve: readonly string[], tls: object): Promise<BehindEnvoyGateway> {
      const port = await freePort();
      const authority = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'authority' } };
      return start({
        serve,
        backend: {
          listen: `127.0.0.1:${port}`,
          spec: { endpoints: [{ ip: { address: '127.0.0.1', port } }], tls },
        },
        edit: (resources) => [...resources, { ...authority, data: { 'ca.crt': certificate.cert } }],
      });
    }

    it('one that believes any certificate is shown one that Sluice made', async () => {
      const { ask, exchange } = await startOver(['--grpc-tls=self-signed'], { insecureSkipVerify: true });
      expect(await ask('served')).toMatchObject({ status: 200 });
      expect(await exchange('served')).toMatchObject({ outcome: 'completed', outputTokens: 2 });
    });

    it('one that checks it is shown the one of a Secret', async () => {
      const files = [`--grpc-tls-cert=${folder}/tls.crt`, `--grpc-tls-key=${folder}/tls.key`];
      const { ask } = await startOver(files, {
        caCertificateRefs: [{ group: '', kind: 'ConfigMap', name: 'authority' }],
        sni: 'sluice.llm.svc',
      });
      expect(await ask('served')).toMatchObject({ status: 200 });
    });
  });

  it('without Sluice nobody is served', async () => {
    const { ask, sluice } = await start();
    expect((await ask('before')).status).toBe(200);
    await sluice.end();
    await eventually(async () => (await ask('after')).status === 503);
  });
});

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message?: string;
}

/** Every condition anywhere below. */
function conditionsIn(value: unknown): Condition[] {
  if (Array.isArray(value)) return value.flatMap(conditionsIn);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, below]) =>
    key === 'conditions' && Array.isArray(below) ? (below as Condition[]) : conditionsIn(below),
  );
}

/** The only message of a type in Envoy's configuration, or the first of those that are alike. */
function messageIn(json: string, type: string): Spec {
  const found: Spec[] = [];
  JSON.parse(json, (_key, value: unknown) => {
    if (
      typeof value === 'object' &&
      value !== null &&
      Reflect.get(value, '@type') === `type.googleapis.com/${type}`
    )
      found.push(value as Spec);
    return value;
  });
  const message = found.find((each) => Object.keys(each).length > 1);
  if (message === undefined) throw new Error(`There is no ${type} in Envoy's configuration`);
  return message;
}

/** As the jwt example changes the policy. */
function withPayload(policy: KubeManifest): KubeManifest {
  const { extProc, ...spec } = policy['spec'] as { readonly extProc: readonly Spec[] };
  const metadata = {
    accessibleNamespaces: ['envoy.filters.http.jwt_authn'],
    writableNamespaces: ['envoy.lb', 'sluice'],
  };
  return { ...policy, spec: { ...spec, extProc: extProc.map((each) => ({ ...each, metadata })) } };
}

/** The policy of the jwt example, for an issuer of the test. */
function withLocalKeys(
  { metadata: { name }, ...policy }: KubeManifest,
  { section, key }: Issuer,
): KubeManifest {
  const { jwt, ...spec } = policy['spec'] as { readonly jwt: { readonly providers: readonly Spec[] } };
  const localJWKS = { type: 'Inline', inline: JSON.stringify({ keys: [key.jwk] }) };
  const { issuer, audiences } = section;
  const providers = jwt.providers.map((provider) => ({
    name: provider['name'],
    issuer,
    audiences,
    localJWKS,
  }));
  return { ...policy, metadata: { name }, spec: { ...spec, jwt: { providers } } };
}

function dataOf(object: KubeManifest): Spec {
  return object['data'] as Spec;
}

/** Without what a standalone gateway has to say otherwise. */
function withoutAddresses(object: object): unknown {
  const addresses = ['backendRefs', 'namespace', 'provider', 'listeners', 'kind'];
  return JSON.parse(
    JSON.stringify(object, (key, value: unknown) => (addresses.includes(key) ? undefined : value)),
  );
}
