/** Configurations to begin with: those of the manuals, and Sluice's own form with everything in it. */
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import { effectiveConfig } from '../../../src/config/explain/effective-config.ts';
import { configForm } from '../../../src/config/json-schema.ts';
import { parseConfig } from '../../../src/config/load.ts';

const root = path.resolve(import.meta.dirname, '../../..');

function read(file: string): string {
  return readFileSync(path.join(root, file), 'utf8');
}

/** What people bring along: other programs' files, manifests, unrendered charts. */
export const manuals: readonly string[] = globSync('test/config/fixtures/*.txt', { cwd: root })
  .sort()
  .map(read);

const everySection = read('test/config/fuzz/every-section.yaml');

const callers = `
auth:
  providers:
    - issuer: https://one.example
      jwksUri: https://one.example/jwks.json
      audiences: [sluice]
    - issuer: https://two.example
      jwksUri: file:///etc/sluice/jwks.json
      algorithms: [ES256]
      requiredClaims: [{ claim: org.id, values: [1] }]
  models: { '*': ['*'] }
cors: { origins: ['*'], maxAge: 0 }
`;

const anonymous = `
auth:
  anonymous:
    by: header
    header: X-User
scheduler:
  plugins:
    Score:
      enabled: [{ name: random, weight: 1 }]
`;

const byModel = `
service_discovery: static
routing_logic: session
session_key: x-session
static_models:
  llama-3:
    static_backends: http://10.0.0.1:8000,http://10.0.0.2:8000
    static_model_type: chat
  qwen-2:
    static_backends: [http://10.0.0.3:8000]
static_aliases: "gpt-4o:llama-3,small:qwen-2"
callbacks: ""
`;

const inKubernetes = `
discovery:
  type: kubernetes
  dnsInterval: 1m
  kubernetes:
    kubeconfig: /etc/sluice/kubeconfig
    context: prod
    silenceTimeout: 1m
    pods:
      - namespaces: [llm, default]
        labelSelectors: ['app=vllm,tier!=old', 'app in (a, b)', '!spare']
        port: http
        container: vllm
        tls: true
      - port: 9000
    inferencePools:
      - { namespace: llm, name: llama-3, tls: true }
    services:
      - { namespace: llm, name: engines, port: http }
      - { name: others, port: 8000 }
`;

const podsOfRouter = `
service_discovery: k8s
routing_logic: prefixaware
k8s_namespace: llm
k8s_port: 8000
k8s_label_selector: app=vllm
`;

const chart = `
networking:
  kthenaRouter:
    enabled: true
    replicas: 2
    image: { tag: latest }
    fairness: { enabled: false, windowSize: 1h, maxConcurrent: 0 }
    sessionBoost: { enabled: true, header: X-Session-ID, maxSessions: 4096, timeout: 30s }
    config:
      scheduler:
        plugins:
          Filter: { enabled: [] }
      scrape: { interval: 2s }
  webhook: {}
`;

const everyField = stringify(effectiveConfig(configForm(), parseConfig(everySection, 'f')));

/** Sluice's own form: by hand, with nothing left unsaid, as JSON, in a ConfigMap; and what has no place beside it. */
export const ours: readonly string[] = [
  everySection,
  everyField,
  JSON.stringify(parse(everySection), undefined, 2),
  `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: sluice\ndata:\n  sluice.yaml: |\n${indented(everySection)}`,
  read('examples/sluice.yaml'),
  callers,
  anonymous,
  byModel,
  inKubernetes,
  podsOfRouter,
  chart,
];

function indented(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '    ');
}
