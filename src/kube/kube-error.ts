/** Why the API server could not be asked, in a sentence that names the verb and the resource. */
import { resourceName, resourceText, type KubeResource, type KubeVerb } from './kube-resource.ts';

/**
 * `unreachable`: no answer, or a part of one. `silent`: no sign of life for too long. `credentials`: they could not be
 * had. `unauthorized`: they are not accepted. `forbidden`: RBAC. `missing`: no such kind of object. `expired`: the
 * resourceVersion is too old, which only needs a new list. `refused`: anything else that the API server says.
 */
export type KubeErrorKind =
  'unreachable' | 'silent' | 'credentials' | 'unauthorized' | 'forbidden' | 'missing' | 'expired' | 'refused';

export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly kind: KubeErrorKind;

  constructor(kind: KubeErrorKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
  }
}

/** The API server's own words for a failure, as its Status objects have them. */
export interface KubeStatus {
  readonly code?: number;
  readonly message?: string;
}

/** Nobody answered, or not to the end. */
export function unreachable(
  verb: KubeVerb,
  resource: KubeResource,
  server: string,
  cause: unknown,
): KubeError {
  if (cause instanceof KubeError) return cause;
  return failure(
    'unreachable',
    verb,
    resource,
    `the API server ${server} does not answer: ${messageOf(cause)}`,
    cause,
  );
}

/** The answer stopped coming. */
export function silent(verb: KubeVerb, resource: KubeResource, timeoutMs: number): KubeError {
  return failure('silent', verb, resource, `the API server gave no sign of life for ${timeoutMs / 1000} s`);
}

/** The credentials cannot be read, or the program that gives them failed. */
export function noCredentials(verb: KubeVerb, resource: KubeResource, cause: unknown): KubeError {
  if (cause instanceof KubeError) return cause;
  return failure('credentials', verb, resource, `the credentials cannot be had: ${messageOf(cause)}`, cause);
}

/** The API server answered, with a failure. */
export function refusedBy(
  verb: KubeVerb,
  resource: KubeResource,
  { code = 0, message = '' }: KubeStatus,
): KubeError {
  const says = message === '' ? '' : `: ${message}`;
  switch (code) {
    case 401:
      return failure(
        'unauthorized',
        verb,
        resource,
        `the API server does not accept the credentials${says}; check the service account's token, or the kubeconfig`,
      );
    case 403:
      return failure(
        'forbidden',
        verb,
        resource,
        `forbidden${says}; allow the verbs list and watch on ${resourceName(resource)} there`,
      );
    case 404:
      return failure(
        'missing',
        verb,
        resource,
        resource.group === ''
          ? `not found${says}`
          : `the API server does not know ${resourceName(resource)} in version ${resource.version}; install its CustomResourceDefinition`,
      );
    case 410:
      return failure('expired', verb, resource, `the state to continue from is too old${says}`);
    default:
      return failure('refused', verb, resource, `the API server answered ${code}${says}`);
  }
}

function failure(
  kind: KubeErrorKind,
  verb: KubeVerb,
  resource: KubeResource,
  problem: string,
  cause?: unknown,
): KubeError {
  return new KubeError(kind, `Cannot ${verb} ${resourceText(resource)}: ${problem}`, { cause });
}

/** The words of what was thrown. A name with several addresses fails with one error that has none of its own. */
export function messageOf(cause: unknown): string {
  const { message, errors } = Object(cause) as { readonly message?: unknown; readonly errors?: unknown };
  if (typeof message === 'string' && message !== '') return message;
  return Array.isArray(errors) && errors.length > 0 ? messageOf(errors[0]) : String(cause);
}
