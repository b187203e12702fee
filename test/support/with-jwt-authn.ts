/** Envoy's own check of access tokens in front of Sluice, as somebody else would have configured it. */
import { extension } from '../../src/envoy/bootstrap/typed.ts';
import { extProcOf, type ConnectionManager } from './edit-bootstrap.ts';

/** The namespace that jwt_authn writes. */
export const jwtNamespace = 'envoy.filters.http.jwt_authn';

export interface JwtAuthn {
  readonly issuer: string;
  /** Public keys, as a JWKS lists them. */
  readonly keys: readonly object[];
  /** `payload_in_metadata`: the key under which the verified payload is found. Default `payload`. */
  readonly payloadKey?: string;
  /** Whether a request without a token passes. Default false: Envoy answers it 401. */
  readonly optional?: boolean;
  /** Whether the token goes on to Sluice and the engine. Default false, as it is Envoy's. */
  readonly keepsToken?: boolean;
  /** Whether what was verified is told to Sluice. Default true. */
  readonly forwarded?: boolean;
}

/** Puts jwt_authn before ext_proc; for `editBootstrap`. */
export function withJwtAuthn(manager: ConnectionManager, options: JwtAuthn): void {
  const { issuer, keys, payloadKey = 'payload', keepsToken = false, forwarded = true } = options;
  const verified = { provider_name: 'issuer' };
  const filter = extension(jwtNamespace, 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication', {
    providers: {
      issuer: {
        issuer,
        local_jwks: { inline_string: JSON.stringify({ keys }) },
        payload_in_metadata: payloadKey,
        forward: keepsToken,
      },
    },
    rules: [
      {
        match: { prefix: '/' },
        requires:
          options.optional === true
            ? { requires_any: { requirements: [verified, { allow_missing: {} }] } }
            : verified,
      },
    ],
    bypass_cors_preflight: true,
  });
  if (forwarded) {
    const extProc = extProcOf(manager);
    extProc['metadata_options'] = {
      ...Object(extProc['metadata_options']),
      forwarding_namespaces: { untyped: [jwtNamespace] },
    };
  }
  Object.assign(manager, { http_filters: [filter, ...manager.http_filters] });
}
