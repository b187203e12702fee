/** One provider of the `auth` section: an issuer whose tokens are accepted. */
import { z } from 'zod';
import { algorithms, asymmetricAlgorithms } from '../../auth/algorithms.ts';
import type { ProviderOptions } from '../../auth/authenticate.ts';
import { readJwks } from '../../auth/jwks-document.ts';
import { shown, withoutUser } from '../describe-issue.ts';

const name = z.string().min(1);

const requiredClaim = z.strictObject({
  claim: name.describe('The claim; a dot leads into a nested one.'),
  values: z
    .array(z.union([z.string(), z.number(), z.boolean()], { error: wrongClaimValue }))
    .default([])
    .describe('Values of which it must have one, or have one in its list; with none, any value will do.'),
});

/** Every field as it is written. */
const fields = {
  issuer: name.describe('`iss` of the tokens, exactly.'),
  audiences: z
    .array(name)
    .describe('A token must have one of these in `aud`; with none, tokens for any audience are accepted.'),
  jwksUri: z
    .string()
    .refine(isJwksUri, {
      error: ({ input }) =>
        `${shown(withoutUser(input))} is not the URL of a JWKS: write it like https://issuer.example/jwks.json or file:///etc/sluice/jwks.json, without user`,
    })
    .describe(
      'Where the keys are: an https, http or file URL. Whoever can change what comes over plain http can forge tokens.',
    ),
  jwks: z
    .looseObject({ keys: z.array(z.unknown()).describe('JSON Web Keys.') })
    .describe('The keys themselves, as a JWKS, instead of `jwksUri`.'),
  algorithms: z
    .array(z.enum(algorithms))
    .refine((list) => list.length > 0, { error: 'must not be empty' })
    .describe('Algorithms that may sign tokens. HMAC only works if it is named here.'),
  subjectClaim: name.describe('The claim that says who the caller is; a dot leads into a nested one.'),
  groupsClaim: name.describe("The claim that lists the caller's groups."),
  groupPrefix: z.string().describe('Put before each group, to keep apart the groups of several issuers.'),
  tierClaim: name.describe("The claim that names the caller's tier; absent means: no tiers."),
  requiredClaims: z
    .array(requiredClaim)
    .describe('Claims that a token must have, all of them; without, its holder is refused with 403.'),
};

type Defaulted =
  'audiences' | 'algorithms' | 'subjectClaim' | 'groupsClaim' | 'groupPrefix' | 'requiredClaims';

const defaults: { [Field in Defaulted]: z.output<(typeof fields)[Field]> } = {
  audiences: [],
  algorithms: [...asymmetricAlgorithms],
  subjectClaim: 'sub',
  groupsClaim: 'groups',
  groupPrefix: '',
  requiredClaims: [],
};

/** An entry of `providers`. */
export const authProvider = z.strictObject({
  issuer: fields.issuer,
  audiences: fields.audiences.default(defaults.audiences),
  jwksUri: fields.jwksUri.optional(),
  jwks: fields.jwks.optional(),
  algorithms: fields.algorithms.default(defaults.algorithms),
  subjectClaim: fields.subjectClaim.default(defaults.subjectClaim),
  groupsClaim: fields.groupsClaim.default(defaults.groupsClaim),
  groupPrefix: fields.groupPrefix.default(defaults.groupPrefix),
  tierClaim: fields.tierClaim.optional(),
  requiredClaims: fields.requiredClaims.default(defaults.requiredClaims),
});

/** The same fields at the top of the section: without defaults, for they tell whether there is a provider at all. */
export const onlyProvider = z.strictObject(fields).partial();

type WrittenProvider = z.output<typeof onlyProvider> & { readonly issuer: string };

/** Says that something is wrong at a path of the section. */
export type Fault = (message: string, ...path: PropertyKey[]) => void;

/** What a provider comes to; `path` is where in the section it is written. */
export function toProvider(
  written: WrittenProvider,
  fault: Fault,
  ...path: readonly PropertyKey[]
): ProviderOptions {
  const {
    issuer,
    audiences = defaults.audiences,
    jwksUri,
    jwks,
    algorithms = defaults.algorithms,
    subjectClaim = defaults.subjectClaim,
    groupsClaim = defaults.groupsClaim,
    groupPrefix = defaults.groupPrefix,
    tierClaim,
    requiredClaims = defaults.requiredClaims,
  } = written;
  if (jwks === undefined && jwksUri === undefined)
    fault('is missing; the keys themselves can be given as jwks', ...path, 'jwksUri');
  if (jwks !== undefined) {
    if (jwksUri !== undefined) fault('there is jwksUri too: keep one of them', ...path, 'jwks');
    const mistake = mistakeOf(() => readJwks(jwks, algorithms));
    if (mistake !== undefined) fault(mistake, ...path, 'jwks');
  }
  return {
    issuer,
    audiences,
    jwks: jwksUri === undefined ? { kind: 'inline', jwks } : { kind: 'uri', uri: jwksUri },
    algorithms,
    principal: { subject: subjectClaim, groups: groupsClaim, groupPrefix, tier: tierClaim },
    requiredClaims,
  };
}

function mistakeOf(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function isJwksUri(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || url.username !== '' || url.password !== '' || text.includes('#')) return false;
  if (url.protocol === 'file:') return url.host === '' && url.search === '' && !url.pathname.endsWith('/');
  return (url.protocol === 'http:' || url.protocol === 'https:') && url.hostname !== '';
}

function wrongClaimValue({ input }: { readonly input?: unknown }): string {
  return `${shown(input)} is not a string, a number, or true or false`;
}
