/** What it costs to know who calls: exchanges straight to `sluice serve` with access tokens, and without any. */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { sign, signingKey, type SigningKey } from '../auth/support/tokens.ts';
import { digits, type Bench, type Section } from './bench.ts';
import { startIdleEngines } from './idle-engines.ts';
import { measureLoad, serverCore, type LoadFigure } from './load-process.ts';
import { sizeName } from './prompts.ts';
import { startSluice, type SluiceProcess } from './sluice-process.ts';

const bodyBytes = 4000;
const concurrency = 16;
const repetitions = 2;
const engineCount = 8;
/** More than are under way at a time, so that no two exchanges wait for the same signature. */
const tokensInTurn = 256;
const algorithms = ['RS256', 'ES256'] as const;

/* What rows are called that others are compared with. */
const oneToken = (algorithm: string): string => `one ${algorithm} token`;
const refusedForged = (algorithm: string): string => `refused: a forged ${algorithm} token each`;
const refusedWithout = 'refused: no token';

/** One row of the table. */
interface Variant {
  readonly name: string;
  /** The `auth` section; empty for none. */
  readonly settings: string;
  /** Sent in turn; none where it is empty. */
  readonly tokens: readonly string[];
  /** Whether the answer is to be 401. */
  readonly refused: boolean;
}

interface Measured {
  readonly figure: LoadFigure;
  /** How many of the exchanges waited for a signature to be verified, good or bad, the warm-up included: 1 is all. */
  readonly signatures: number;
}

/** CPU per exchange with remembered tokens, with new ones and with forged ones, beside no authentication at all. */
export async function benchAuth(bench: Bench): Promise<Section> {
  bench.progress('access tokens');
  const variants = await createVariants(bench);
  const engines = await startIdleEngines(bench.children, engineCount, 1);
  const measured = variants.map((): Measured[] => []);
  for (let repetition = 1; repetition <= repetitions; repetition++) {
    for (const [i, variant] of variants.entries()) {
      bench.progress(`exchanges, ${variant.name} (${repetition} of ${repetitions})`);
      measured[i]!.push(await measure(bench, engines.urls, variant));
    }
  }
  await engines.child.stop();
  return section(variants, measured);
}

async function createVariants(bench: Bench): Promise<Variant[]> {
  const keys = await Promise.all(algorithms.map((algorithm) => signingKey(`key-${algorithm}`, algorithm)));
  // Keys of somebody else, under the names of ours.
  const forgers = await Promise.all(keys.map(({ kid, alg }) => signingKey(kid, alg)));
  const jwksFile = path.join(bench.folder, 'jwks.json');
  writeFileSync(jwksFile, JSON.stringify({ keys: keys.map(({ jwk }) => jwk) }));
  const auth = `auth: { issuer: '${issuer}', audiences: [sluice], jwksUri: '${pathToFileURL(jwksFile).href}'`;
  const remembering = `${auth} }\n`;
  const forgetting = `${auth}, cache: { maxTokens: 1 } }\n`;

  const [good, forged] = await Promise.all([
    Promise.all(keys.map(signedTokens)),
    Promise.all(forgers.map(signedTokens)),
  ]);
  return [
    { name: 'no authentication', settings: '', tokens: [], refused: false },
    ...algorithms.map((name, i) => ({
      name: oneToken(name),
      settings: remembering,
      tokens: good[i]!.slice(0, 1),
      refused: false,
    })),
    ...algorithms.map((name, i) => ({
      name: `a new ${name} token each`,
      settings: forgetting,
      tokens: good[i]!,
      refused: false,
    })),
    { name: refusedWithout, settings: remembering, tokens: [], refused: true },
    ...algorithms.map((name, i) => ({
      name: refusedForged(name),
      settings: remembering,
      tokens: forged[i]!,
      refused: true,
    })),
  ];
}

const issuer = 'https://issuer.example.com/realms/inference';

/** Tokens with the claims that identity providers put in. */
async function signedTokens(key: SigningKey): Promise<string[]> {
  const issuedAt = Math.floor(Date.now() / 1000);
  return Promise.all(
    Array.from({ length: tokensInTurn }, (_, i) =>
      sign(key, {
        iss: issuer,
        aud: 'sluice',
        sub: `f3b0c442-98fc-4c14-9afb-${String(i).padStart(12, '0')}`,
        iat: issuedAt,
        exp: issuedAt + 3600,
        jti: `0d9f1a52-5c1e-4f7b-8a63-${String(i).padStart(12, '0')}`,
        azp: 'inference-client',
        scope: 'openid profile email',
        email: 'ann@example.com',
        groups: ['research', 'inference-users', 'everybody'],
      }),
    ),
  );
}

/** One repetition, of a server that was just started. */
async function measure(
  bench: Bench,
  engines: readonly string[],
  { settings, tokens, refused }: Variant,
): Promise<Measured> {
  const server = await startSluice(bench, {
    name: 'auth',
    engines,
    usage: 'none',
    core: serverCore,
    settings,
  });
  const tokensFile = path.join(bench.folder, 'tokens');
  writeFileSync(tokensFile, tokens.join('\n'));
  const figure = await measureLoad(bench, server, {
    bodyBytes,
    concurrency,
    durationMs: bench.quick ? 700 : 4000,
    ...(tokens.length === 0 ? {} : { tokensFile }),
    refused,
  });
  const signatures = await askSignatures(server);
  await server.child.stop();
  return { figure, signatures };
}

async function askSignatures({ adminUrl }: SluiceProcess): Promise<number> {
  const page = await (await fetch(`${adminUrl}/metrics`)).text();
  let all = 0;
  let verified = 0;
  for (const [, outcome, count] of page.matchAll(
    /^sluice_authentications_total\{outcome="([^"]+)"\} (\d+)$/gm,
  )) {
    all += Number(count);
    if (outcome === 'ok' || outcome === 'bad-signature') verified += Number(count);
  }
  return verified / all;
}

function section(variants: readonly Variant[], measured: readonly (readonly Measured[])[]): Section {
  const cpu = measured.map((runs) => mean(runs.map(({ figure }) => figure.cpuMicroseconds)));
  const off = cpu[0]!;
  const at = (name: string): number => variants.findIndex((variant) => variant.name === name);
  const forged = algorithms.map((name) => cpu[at(refusedForged(name))]! - cpu[at(refusedWithout)]!);
  return {
    title: 'Access tokens',
    notes: [
      `\`sluice serve\` on one core with ${engineCount} idle engines, and bodies of ${sizeName(bodyBytes)} sent as above; each repetition has a server of its own. Tokens of RS256 have some 820 bytes and keys of 2,048 bits, those of ES256 some 570 bytes and the curve P-256; the JWKS is a file.`,
      `*One token* is what a client does: it is verified once and remembered. *A new token each* is the worst that clients who are let in can do: ${tokensInTurn} tokens take turns, and Sluice may remember one (\`auth.cache.maxTokens: 1\`), so each exchange costs a signature. What is *refused* is answered 401 at its head and never sends a body; *forged* tokens name our key and are signed with another, which only the signature tells. How many exchanges waited for a signature is what Sluice counts in \`sluice_authentications_total\`.`,
      `What makes a refusal expensive is the signature alone: a forged token costs **${algorithms.map((name, i) => `${digits(forged[i]!)} µs (${name})`).join(' or ')}** more than none at all.`,
      'A signature is verified by the threads of libuv, which share the one core of the server here; their time is in the figures. The event loop is free meanwhile.',
    ],
    tables: [
      {
        columns: [
          'token',
          'CPU per exchange',
          'above no authentication',
          'waited for a signature',
          'exchanges/s/core, from CPU',
          'failed',
        ],
        rows: variants.map(({ name, refused }, i) => {
          const runs = measured[i]!;
          const each = (value: (run: Measured) => string): string => runs.map(value).join(' / ');
          return [
            name,
            each(({ figure }) => `${digits(figure.cpuMicroseconds, 1)} µs`),
            i === 0 || refused ? '' : `${digits(cpu[i]! - off, 1)} µs`,
            each(({ signatures }) => `${digits(100 * signatures, 1)} %`),
            digits(1e6 / cpu[i]!),
            digits(runs.reduce((sum, { figure }) => sum + figure.failed, 0)),
          ];
        }),
      },
    ],
    targets: algorithms.map((name) => ({
      what: `exchanges with one ${name} token that waited for a signature`,
      atMost: 1,
      unit: ' %',
      measured: 100 * mean(measured[at(oneToken(name))]!.map(({ signatures }) => signatures)),
    })),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
