/** What makes no sense in a configuration that the loader took, judged without the schema wherever that is possible. */
import { isDeepStrictEqual } from 'node:util';
import { effectiveConfig } from '../../../src/config/explain/effective-config.ts';
import { configForm } from '../../../src/config/json-schema.ts';
import { parseConfig, type LoadedConfig } from '../../../src/config/load.ts';
import type { Config } from '../../../src/config/schema.ts';
import { isMapping, valueAt, type Written } from '../../../src/config/written.ts';
import { createProfile, type ProfileConfig } from '../../../src/scheduling/profile.ts';
import { anEndpoint, aRequest, someMetrics } from '../../support/endpoints.ts';
import { fakeDeps } from '../../support/scoring.ts';
import { plainReading } from './plain-reading.ts';
import { strayWords, strayWordsOfForm } from './stray-words.ts';

const form = configForm();

/** Sentences; none where a configuration that was read strictly is what its text says. */
export function nonsenseIn(text: string, loaded: LoadedConfig): string[] {
  return [...lostWords(text, loaded), ...nonsenseInEffect(loaded)];
}

/** The same for one in which faults were let pass: it is not what the text says, and still has to make sense. */
export function nonsenseInEffect(loaded: LoadedConfig): string[] {
  const { config, written } = loaded;
  return [
    ...strayWords(written).map((path) => `nobody knows what ${path} means`),
    ...wrongMeaning(written, config, ''),
    ...wrongNumbers(config, ''),
    ...wrongNames(written, config),
    ...wrongRules(written, config),
    ...wrongScorers(written, config.scheduler.profile),
    ...wrongScores(config),
    ...wrongAgain(loaded),
  ];
}

/** What is written and known to nobody, or not read as it is written. */
function lostWords(text: string, { form: name, root, written }: LoadedConfig): string[] {
  const lost = strayWordsOfForm(name, root).map((path) => `nobody knows what ${path} in the file means`);
  if (!text.includes('{{')) {
    const [plain = {}, ...more] = plainReading(text);
    if (more.length > 0 || !isDeepStrictEqual(same(plain), same(root)))
      lost.push(`the file does not say ${JSON.stringify(root)}`);
  }
  const own = name.startsWith('Sluice') ? root : name.startsWith('Kthena') ? { scheduler: root } : undefined;
  if (own !== undefined && !isDeepStrictEqual(withoutEmpty(own), withoutEmpty(written)))
    lost.push(`something got lost between ${JSON.stringify(own)} and ${JSON.stringify(written)}`);
  return lost;
}

/** Fields whose value is not the one that is written. */
function wrongMeaning(written: Written, config: object, path: string): string[] {
  return Object.entries(written).flatMap(([name, value]) => {
    const at = `${path}${name}`;
    const [plain, ms] = [valueAt(config, [name]), valueAt(config, [`${name}Ms`])];
    if (isMapping(value) && isMapping(plain)) return wrongMeaning(value, plain, `${at}.`);
    const expected =
      ms !== undefined ? millisecondsOf(at, value) : name.endsWith('Bytes') ? bytes(value) : lowerCase(value);
    const actual = ms ?? lowerCase(plain);
    const isComparable = actual !== undefined && typeof actual !== 'object';
    return isComparable && !isAbout(actual, expected)
      ? [`${at} is ${JSON.stringify(actual)} and not ${JSON.stringify(value)}`]
      : [];
  });
}

const msPerUnit: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const bytesPerUnit: Readonly<Record<string, number>> = {
  ...{ '': 1, B: 1, KB: 1e3, MB: 1e6, GB: 1e9 },
  ...{ KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 },
};

/** Where 0 does not mean none. */
const insteadOfZero: Readonly<Record<string, number>> = { 'sessionBoost.timeout': 3_540_000 };

function millisecondsOf(path: string, value: unknown): unknown {
  const ms = milliseconds(value);
  return ms === 0 ? (insteadOfZero[path] ?? 0) : ms;
}

function milliseconds(value: unknown): unknown {
  if (typeof value === 'number') return value * 1000;
  const parts = String(value).split(/(?<=[a-z])(?=\d)/);
  return parts.reduce((sum, part) => {
    const unit = part.replace(/^[\d.]*/, '');
    return sum + Number(part.slice(0, part.length - unit.length)) * (unit === '' ? 1 : msPerUnit[unit]!);
  }, 0);
}

function bytes(value: unknown): unknown {
  if (typeof value === 'number') return value;
  const [, amount, unit] = /^([\d.]+) ?(\D*)$/.exec(String(value)) ?? [];
  return Number(amount) * bytesPerUnit[unit ?? '']!;
}

function isAbout(actual: unknown, expected: unknown): boolean {
  if (typeof actual !== 'number' || typeof expected !== 'number') return actual === expected;
  return Math.abs(actual - expected) <= 1e-9 * Math.abs(expected);
}

function lowerCase(value: unknown): unknown {
  return typeof value === 'string' ? value.toLowerCase() : value;
}

/** Durations of which 0 means none. */
const mayBeZero = [
  ...['auth.clockToleranceMs', 'cors.maxAgeMs', 'limits.drainTimeoutMs', 'stats.logIntervalMs'],
  ...['envoy.requestTimeoutMs', 'envoy.idleTimeoutMs', 'envoy.perTryIdleTimeoutMs'],
  ...['fairness.agingAfterMs', 'sessionBoost.gracePeriodMs'],
];

/** The time that an amount is for, which no timer waits for. */
const period = /^limits\.rules\.\d+\.perMs$/;

/** Numbers that no program can work with. */
function wrongNumbers(value: unknown, path: string): string[] {
  // What users give to be compared with tokens.
  if (value instanceof Map || /\.(requiredClaims|jwks)\./.test(path)) return [];
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([name, member]) =>
      wrongNumbers(member, path === '' ? name : `${path}.${name}`),
    );
  if (typeof value !== 'number') return [];
  const isRight =
    Number.isFinite(value) &&
    value >= 0 &&
    (!/Ms$/.test(path) ||
      period.test(path) ||
      (value <= 2 ** 31 - 1 && (value > 0 || mayBeZero.includes(path)))) &&
    (!/Bytes$/.test(path) || path.includes('.params.') || (Number.isSafeInteger(value) && value > 0)) &&
    (!/[pP]ort$/.test(path) || (Number.isInteger(value) && value < 2 ** 16));
  return isRight
    ? []
    : [`${path} is ${value}; a duration that may be 0 is to be listed in ${import.meta.filename}`];
}

/** Where they are, what is written there, and what became of it. */
type Given = readonly [string, unknown, readonly (readonly [string, unknown])[]];

/** Names that users give, which are to arrive as they are whatever they are. */
function wrongNames(written: Written, { models, auth, fairness }: Config): string[] {
  const given: Given[] = [
    ['models.aliases', valueAt(written, ['models', 'aliases']), [...models.aliases]],
    ['models.rewrites', valueAt(written, ['models', 'rewrites']), [...models.rewrites]],
    ['auth.models', valueAt(written, ['auth', 'models']), Object.entries(auth.models ?? {})],
    ...(['subjects', 'tiers', 'groups'] as const).map((by): Given => [
      `fairness.weights.${by}`,
      valueAt(written, ['fairness', 'weights', by]),
      Object.entries(fairness.weights[by]),
    ]),
  ];
  return given
    .filter(([, names, actual]) => !isDeepStrictEqual(isMapping(names) ? Object.entries(names) : [], actual))
    .map(([path, names]) => `${path} is not ${JSON.stringify(names)}`);
}

const msOfPeriod: Readonly<Record<string, number>> = {
  ...{ second: 1000, minute: 60_000, hour: 3_600_000, day: 86_400_000, month: 2_592_000_000 },
};

/** Rules that are not the ones that are written. */
function wrongRules(written: Written, { limits }: Config): string[] {
  const list: unknown = valueAt(written, ['limits', 'rules']) ?? [];
  if (!Array.isArray(list)) return ['limits.rules is no list'];
  const expected = list.map((rule: Written) => {
    const { per = 'minute' } = rule;
    return { scope: 'principal', ...rule, per, perMs: msOfPeriod[String(per)] };
  });
  const actual = limits.rules;
  return isDeepStrictEqual(actual, expected)
    ? []
    : [`limits.rules is ${JSON.stringify(actual)} and not ${JSON.stringify(expected)}`];
}

/** Other scorers or weights than those that are written. */
function wrongScorers(written: Written, { scorers }: ProfileConfig): string[] {
  const wrong: string[] = [];
  const sum = scorers.reduce((total, { weight }) => total + weight, 0);
  if (scorers.length === 0) wrong.push('nobody scores');
  if (!(sum > 0 && Number.isFinite(sum))) wrong.push(`the weights come to ${sum}`);
  for (const { type, weight } of scorers)
    if (!(weight >= 0 && Number.isFinite(weight))) wrong.push(`the weight of ${type} is ${weight}`);

  const enabled = valueAt(written, ['scheduler', 'plugins', 'Score', 'enabled']);
  const disabled = valueAt(written, ['scheduler', 'plugins', 'Score', 'disabled']);
  if (!Array.isArray(enabled)) return wrong;
  const off = Array.isArray(disabled) ? disabled.map(scorerIn) : [];
  const expected = enabled
    .map((item: unknown) => [scorerIn(item), valueAt(item, ['weight'])])
    .filter(([type]) => !off.includes(type));
  const actual = scorers.map(({ type, weight }) => [type, weight]);
  if (!isDeepStrictEqual(actual, expected))
    wrong.push(`the scorers are ${JSON.stringify(actual)} and not ${JSON.stringify(expected)}`);
  return wrong;
}

function scorerIn(item: unknown): unknown {
  const name = isMapping(item) ? item['name'] : item;
  return name === 'gpu-usage' ? 'kv-cache' : name;
}

const listedModels = new Map([['m', { id: 'm', parent: undefined, maxModelLen: undefined }]]);
const endpoints = [
  anEndpoint(0, {
    inFlight: 3,
    metrics: someMetrics({ waiting: 0, running: 3, kvCacheUsage: 0.4, ttftSeconds: 0.2, tpotSeconds: 0.01 }),
    listedModels,
  }),
  anEndpoint(1, {
    metrics: someMetrics({ waiting: 0, running: 0, kvCacheUsage: 0.9, ttftSeconds: 2, tpotSeconds: 0.02 }),
    listedModels,
  }),
];
/** Nobody knows them: the first request finds nothing remembered, the second does. */
const requests = ['r1', 'r2'].map((id) => aRequest('once upon a time '.repeat(20), { id, sessionKey: 's' }));

/** What is wrong with how two engines that can serve a request are scored. */
function wrongScores({ scheduler: { profile: profileConfig, maxEndpoints } }: Config): string[] {
  const profile = createProfile(withSmallMemory(profileConfig), fakeDeps);
  const wrong: string[] = [];
  let sum = 0;
  for (const { weight } of profileConfig.scorers) sum += weight;
  for (const request of requests) {
    for (const { type, instance } of profile.plugins.scorers) {
      const scores = new Float64Array(endpoints.length);
      instance.score(request, endpoints, scores);
      if (!scores.every((score) => score >= 0 && score <= 1))
        wrong.push(`${type} gives ${scores.join(' and ')}`);
    }
    const decision = profile.run(request, endpoints, maxEndpoints);
    // The first has three requests and no queue, so no filter has a reason.
    if (decision.kind !== 'chosen') wrong.push('nobody can serve the request');
    else {
      if (
        !decision.totals.every((total) => total >= 0 && total <= sum * (1 + 1e-9) && Number.isFinite(total))
      )
        wrong.push(`the totals are ${decision.totals.join(' and ')}`);
      if (decision.ranked.length !== Math.min(maxEndpoints, 2))
        wrong.push(`${decision.ranked.length} endpoints are ranked`);
      profile.onRouted(request, decision.ranked[0]);
    }
  }
  return wrong;
}

/** It takes milliseconds to make the table that prefix-cache has by default. */
function withSmallMemory(profile: ProfileConfig): ProfileConfig {
  const scorers = profile.scorers.map((scorer) => {
    const { maxTotalEntries } = scorer.params;
    if (typeof maxTotalEntries !== 'number') return scorer;
    return { ...scorer, params: { ...scorer.params, maxTotalEntries: Math.min(maxTotalEntries, 1000) } };
  });
  return { ...profile, scorers };
}

/** Whether it says something else once everything is written out. */
function wrongAgain(loaded: LoadedConfig): string[] {
  // Not in one line: "}}" could end what "{{" in a name begins.
  const text = JSON.stringify(effectiveConfig(form, loaded), undefined, 1);
  try {
    const again = parseConfig(text, 'f');
    if (isDeepStrictEqual(same(again.config), same(loaded.config))) return [];
    return [`written out, ${text} means something else`];
  } catch (error) {
    return [`written out, ${text} is refused: ${String(error)}`];
  }
}

/** The same for comparing: numbers are as JSON writes them, where -0 is 0, and .inf in a JSON Web Key is nothing. */
export function same(value: unknown): unknown {
  if (value instanceof Map) return [...value].map(same);
  if (Array.isArray(value)) return value.map(same);
  if (isMapping(value)) return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, same(v)]));
  if (typeof value !== 'number') return value;
  return Number.isFinite(value) ? value + 0 : null;
}

/** Sections with nothing below them are empty mappings. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (value === null || (isMapping(value) && Object.keys(value).length === 0)) return 'nothing';
  if (isMapping(value))
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, withoutEmpty(v)]));
  return value;
}
