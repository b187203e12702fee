/** The `auth` section: Kthena's fields for one issuer, or a list of providers, and what is common to all. */
import { z } from 'zod';
import type { AuthOptions, ProviderOptions } from '../../auth/authenticate.ts';
import type { ModelsByGroup } from '../../auth/model-access.ts';
import { shown } from '../describe-issue.ts';
import { atStart } from '../restart.ts';
import { duration, size } from '../units.ts';
import { headerName } from './header-name.ts';
import { authProvider, onlyProvider, toProvider, type Fault } from './auth-provider.ts';

const exemptPath = z
  .string()
  .refine((path) => /^(\/[A-Za-z0-9._~-]+)+(\/\*)?$/.test(path) && !/\/\.{1,2}(\/|$)/.test(path), {
    error: ({ input }) =>
      `${shown(input)} is not a path to exempt: write an absolute path, or a prefix that ends in "/*"`,
  });

const keys = z
  .strictObject({
    refreshInterval: duration()
      .default(600_000)
      .describe(
        'How often keys are fetched where the answer has no `max-age`; a file is read every ten seconds.',
      ),
    fetchTimeout: duration().default(5000).describe('How long one fetch may take.'),
    refetchCooldown: duration()
      .default(10_000)
      .describe('How long a key that a fetch did not bring is not asked for again.'),
    maxOutage: duration()
      .default(24 * 3_600_000)
      .describe('How long the last good keys are used while none can be fetched.'),
  })
  .transform((fields) => ({
    refreshIntervalMs: fields.refreshInterval,
    fetchTimeoutMs: fields.fetchTimeout,
    refetchCooldownMs: fields.refetchCooldown,
    maxOutageMs: fields.maxOutage,
  }));

const cache = z.strictObject({
  maxTokens: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe('How many verified tokens are remembered.'),
  maxBytes: size()
    .default(64 * 1024 ** 2)
    .describe('How much memory they may take together, estimated.'),
});

const anonymous = z
  .strictObject({
    by: z
      .enum(['shared', 'header', 'address'])
      .default('shared')
      .describe(
        'What tells callers apart while nobody needs a token: nothing, a header that they send, or their IP address.',
      ),
    header: headerName.optional().describe('The header, with `by: header`.'),
  })
  .transform(({ by, header }, context): AuthOptions['anonymous'] => {
    if (by === 'header' && header !== undefined) return { by, header };
    if ((by === 'header') !== (header !== undefined)) {
      const message = by === 'header' ? 'is missing' : 'has no effect without `by: header`';
      context.addIssue({ code: 'custom', path: ['header'], message });
    }
    return { by: by === 'address' ? by : 'shared' };
  });

const modelPattern = z.string().regex(/^([^*]+\*?|\*)$/, {
  error: ({ input }) => `${shown(input)} is neither a name nor the beginning of one with "*" at the end`,
});

/** What the section comes to. */
export interface AuthConfig extends AuthOptions {
  /** Undefined: all may call all. */
  readonly models: ModelsByGroup | undefined;
}

/** Who may call. Without an issuer nobody needs a token. */
export const authSection = z
  .strictObject({
    ...onlyProvider.shape,
    providers: z
      .array(authProvider)
      .refine((list) => list.length > 0, {
        error: 'must not be empty: leave it out where nobody needs a token',
      })
      .optional()
      .describe('Several issuers, instead of the fields for one.'),
    headers: z
      .array(headerName)
      .refine((list) => list.length > 0, { error: 'must not be empty' })
      .default(['authorization', 'x-api-key'])
      .describe('Headers in which tokens are looked for; all but `authorization` may leave out "Bearer".'),
    maxTokenBytes: size()
      .default(16 * 1024)
      .describe('Largest token, in bytes; a larger one is refused unread.'),
    clockTolerance: duration({ zero: true })
      .default(60_000)
      .describe("How far issuers' clocks and ours may be apart."),
    exempt: z
      .array(exemptPath)
      .default(['/health', '/healthz', '/livez', '/readyz'])
      .describe('Paths that need no token: each an exact path, or a prefix that ends in "/*".'),
    keys: keys.prefault({}).describe('How keys are fetched and kept.'),
    cache: cache.prefault({}).describe('Tokens that were verified.'),
    envoyPayload: z
      .string()
      .min(1)
      .optional()
      .describe(
        "The `payload_in_metadata` of Envoy's jwt_authn: what it verified is believed. Absent means: it is not.",
      ),
    forwardToken: z.boolean().default(false).describe("Whether engines see their callers' tokens."),
    // Envoy is told at its start whether to say each client's address.
    anonymous: atStart(anonymous.prefault({}).describe('Who callers are where nobody needs a token.')),
    models: z
      .record(z.string().min(1), z.array(modelPattern))
      .optional()
      .describe(
        'Which models each group may call: names, or beginnings of names with `*` at the end; the group `*` is everybody. Absent means: all may call all.',
      ),
  })
  .transform((fields, context): AuthConfig => {
    const fault: Fault = (message, ...path) => context.addIssue({ code: 'custom', path, message });
    const { envoyPayload, anonymous, models } = fields;
    const ofOne = Object.keys(onlyProvider.shape).filter((field) => Reflect.get(fields, field) !== undefined);

    let providers: readonly ProviderOptions[] = [];
    if (fields.providers !== undefined) {
      for (const field of ofOne) fault('belongs to a provider: move it into `providers`', field);
      providers = fields.providers.map((provider, i) => toProvider(provider, fault, 'providers', i));
      providers.forEach(({ issuer }, i) => {
        if (providers.findIndex((other) => other.issuer === issuer) < i)
          fault(`${shown(issuer)} is listed twice`, 'providers', i, 'issuer');
      });
    } else if (fields.issuer !== undefined) {
      providers = [toProvider({ ...fields, issuer: fields.issuer }, fault)];
    } else if (ofOne.length > 0) {
      fault('is missing', 'issuer');
    }

    if (fields.providers !== undefined || ofOne.length > 0) {
      if (anonymous.by !== 'shared')
        fault('has no effect: with an issuer, nobody is let in without a token', 'anonymous', 'by');
    } else {
      if (envoyPayload !== undefined) fault('has no effect without an issuer', 'envoyPayload');
      if (models !== undefined) fault('has no effect without an issuer', 'models');
    }
    return {
      providers,
      headers: fields.headers,
      maxTokenBytes: fields.maxTokenBytes,
      exempt: fields.exempt,
      clockToleranceMs: fields.clockTolerance,
      keys: fields.keys,
      cache: fields.cache,
      envoyPayload,
      forwardToken: fields.forwardToken,
      anonymous,
      models,
    };
  });

/** What an operator should know of a section without faults: sentences that begin with the field. */
export function authNotes({ providers }: AuthConfig): string[] {
  return providers.flatMap(({ issuer, audiences, jwks }) => {
    const notes: string[] = [];
    if (jwks.kind === 'uri' && /^http:/i.test(jwks.uri)) {
      notes.push(
        `auth.jwksUri: the keys of ${shown(issuer)} come over plain http: who can change them on the way can forge tokens`,
      );
    }
    if (audiences.length === 0)
      notes.push(`auth.audiences: tokens of ${shown(issuer)} are accepted whatever audience they are for`);
    return notes;
  });
}
