/** The `discovery.kubernetes` section. */
import { z } from 'zod';
import { notInRange, shown } from '../describe-issue.ts';
import { atStart } from '../restart.ts';
import { duration } from '../units.ts';
import { wrongRequirement } from './label-selector.ts';

/** Below, the API server would be asked for a new watch all the time. */
const leastSilenceTimeoutMs = 2000;

const namespace = z.string().refine((text) => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(text), {
  error: ({ input }) => `${shown(input)} is not the name of a namespace`,
});

const name = z.string().refine((text) => /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(text), {
  error: ({ input }) => `${shown(input)} is not a name that a Kubernetes object can have`,
});

const labelSelector = z.string().superRefine((text, context) => {
  const wrong = wrongRequirement(text);
  if (wrong === undefined) return;
  const message = `${shown(wrong)} is no label selector: write it like app=vllm, app in (a, b), or !app, with commas between`;
  context.addIssue({ code: 'custom', message });
});

const portName = z.string().refine(isPortName, {
  error: ({ input }) =>
    /^\d+$/.test(String(input))
      ? notInRange(input, { whole: true, least: 1, greatest: 65_535 })
      : `${shown(input)} is not the name of a port: up to 15 lower-case letters, digits and hyphens`,
});

const port = z.union([z.int().min(1).max(65_535), portName]);

const tls = z.boolean().default(false).describe('Whether the engines speak TLS.');
const ownNamespace = 'Absent: the one that Sluice runs in, or that the kubeconfig names.';

const pods = z.strictObject({
  namespaces: z
    .array(namespace)
    .default([])
    .describe('Where the pods are. Empty: the one that Sluice runs in, or that the kubeconfig names.'),
  labelSelectors: z
    .array(labelSelector)
    .default([])
    .describe(
      'Labels that the pods have, like app=vllm; those that fit one of the selectors. Empty: all pods.',
    ),
  port: port.default(8000).describe("Where the engine listens: a number, or the name of a container's port."),
  container: name
    .optional()
    .describe(
      "The engine's container: pods without it are left out, and a port's name is looked for in it alone.",
    ),
  tls,
});

const inferencePool = z.strictObject({
  namespace: namespace.optional().describe(`Where the InferencePool is. ${ownNamespace}`),
  name: name.describe('Its name. Each of its target ports is an engine in every pod.'),
  tls,
});

const service = z.strictObject({
  namespace: namespace.optional().describe(`Where the Service is. ${ownNamespace}`),
  name: name.describe('Its name.'),
  port: port
    .optional()
    .describe(
      "The name of the Service's port, or the number at which the pods listen. Absent: the only one.",
    ),
  tls,
});

/** Endpoints that the API server of Kubernetes knows. */
export const discoveryKubernetesSection = z
  .strictObject({
    kubeconfig: atStart(
      z
        .string()
        .min(1)
        .optional()
        .describe(
          "Path of a kubeconfig. Absent: the first of KUBECONFIG, the pod's service account, and ~/.kube/config.",
        ),
    ),
    context: atStart(
      z.string().min(1).optional().describe("The kubeconfig's context. Absent: its current one."),
    ),
    silenceTimeout: atStart(
      duration()
        .refine((ms) => ms >= leastSilenceTimeoutMs, { error: 'silenceTimeout must be 2s or more' })
        .default(30_000)
        .describe('A connection to the API server without a sign of life for so long is given up.'),
    ),
    pods: z.array(pods).default([]).describe('Pods by namespace and label.'),
    inferencePools: z
      .array(inferencePool)
      .default([])
      .describe('Pods of InferencePools (inference.networking.k8s.io/v1).'),
    services: z.array(service).default([]).describe('Pods behind Services, by their EndpointSlices.'),
  })
  .refine(({ pods, inferencePools, services }) => pods.length + inferencePools.length + services.length > 0, {
    error: 'names no engines: give pods, inferencePools or services',
  })
  .transform(({ silenceTimeout, ...rest }) => ({ ...rest, silenceTimeoutMs: silenceTimeout }));

/** IANA's form of a service name, which Kubernetes asks for. */
function isPortName(text: string): boolean {
  return /^(?=.{1,15}$)[a-z0-9]+(-[a-z0-9]+)*$/.test(text) && /[a-z]/.test(text);
}
