/** The environment variables of Kthena's router, and what they say in Sluice's own form. */
import { isIPv6 } from 'node:net';
import { shown } from './describe-issue.ts';
import { parseGoBool, parseGoDurationMs, parseGoFloat, parseGoInt } from './go-values.ts';
import { token } from './sections/header-name.ts';
import { longestWait, longestWaitMs } from './sections/queueing.ts';
import { duration } from './units.ts';
import { layered, type Written } from './written.ts';

/** One variable. */
export interface KthenaVariable {
  readonly name: string;
  /** The path of the field that it sets; undefined where it sets none by itself. */
  readonly target?: string;
  /** What it does instead, as the documentation says it. Default: nothing in this version. */
  readonly remark?: string;
  /** What may be written, as it follows "is not". */
  readonly accepts: string;
  /** What Kthena takes where it is not set; empty for nothing. */
  readonly kthenaDefault: string;
  /** The value in Sluice's written form; undefined where the text is not accepted. */
  readonly read: (text: string) => unknown;
  /** Another variable without which this one is not looked at, right or wrong. */
  readonly needs?: string;
  /** What the field is set to, where that depends on other variables too. Default: the value. */
  readonly compose?: (value: unknown, others: ReadonlyMap<string, unknown>) => unknown;
  /** Another field that follows from the value, with what it is set to. */
  readonly implies?: (value: unknown) => { readonly target: string; readonly value: unknown } | undefined;
  /** Why a value that asks for something does not get it; undefined where it does, or asks for nothing. */
  readonly withoutEffect?: (value: unknown, others: ReadonlyMap<string, unknown>) => string | undefined;
}

/** A value that is not accepted. */
export interface KthenaVariableFault {
  readonly variable: string;
  readonly value: string;
  /** Shows the value and says what is accepted; does not name the variable. */
  readonly message: string;
}

export interface KthenaEnvironment {
  /** What the variables say, as a file would say it. Explicit configuration counts above it. */
  readonly written: Written;
  /** The variable that set a field, by the field's path, like `fairness.windowSize`. */
  readonly origins: ReadonlyMap<string, string>;
  readonly faults: readonly KthenaVariableFault[];
  /** Sentences about what is asked for and not in effect. */
  readonly notes: readonly string[];
}

type Kind = Pick<KthenaVariable, 'accepts' | 'read'>;

const bool: Kind = {
  accepts: 'one of 1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False',
  read: parseGoBool,
};
const weight: Kind = {
  accepts: 'a number from 0 to 1000000, like 1.5',
  read: (text) => within(parseGoFloat(text), 0, 1_000_000),
};
const count: Kind = {
  accepts: 'a whole number of 0 or more',
  read: (text) => within(parseGoInt(text), 0),
};
const positiveCount: Kind = {
  accepts: 'a whole number of 1 or more',
  read: (text) => within(parseGoInt(text), 1),
};
const longestMs = 2 ** 31 - 1;
const oneNanosecondMs = 1e-6;
const positiveDuration: Kind = {
  accepts: 'a duration of more than 0, up to 24 days, like 30s or 1h30m',
  read: (text) => writtenDuration(text, oneNanosecondMs, longestMs),
};
const text: Kind = { accepts: 'a text', read: (value) => value };

const port: Kind = {
  accepts: 'a whole number from 1 to 65535',
  read: (text) => within(parseGoInt(text), 1, 65_535),
};

const alwaysCurrent = 'priorities are always current here';

/** All of them, in the order in which they are documented. */
export const kthenaVariables: readonly KthenaVariable[] = [
  {
    name: 'ENABLE_FAIRNESS_SCHEDULING',
    target: 'fairness.enabled',
    ...bool,
    kthenaDefault: 'false',
    // Whoever turns it on in this way has what Kthena does in mind.
    implies: (value) => (value === true ? { target: 'fairness.policy', value: 'window' } : undefined),
  },
  {
    name: 'FAIRNESS_WINDOW_SIZE',
    target: 'fairness.windowSize',
    accepts: 'a duration from 1m to 1h, like 10m',
    read: (value) => writtenDuration(value, 60_000, 3_600_000),
    kthenaDefault: '5m',
  },
  {
    name: 'FAIRNESS_INPUT_TOKEN_WEIGHT',
    target: 'fairness.inputTokenWeight',
    ...weight,
    kthenaDefault: '1.0',
  },
  {
    name: 'FAIRNESS_OUTPUT_TOKEN_WEIGHT',
    target: 'fairness.outputTokenWeight',
    ...weight,
    kthenaDefault: '2.0',
  },
  { name: 'FAIRNESS_MAX_CONCURRENT', target: 'fairness.maxConcurrent', ...count, kthenaDefault: '0' },
  {
    name: 'FAIRNESS_MAX_QPS',
    target: 'fairness.maxQps',
    ...positiveCount,
    kthenaDefault: '100',
    withoutEffect: (_, others) =>
      isMoreThanZero(others.get('FAIRNESS_MAX_CONCURRENT'))
        ? 'FAIRNESS_MAX_CONCURRENT is more than 0, and takes its place as in Kthena'
        : undefined,
  },
  {
    name: 'FAIRNESS_PRIORITY_REFRESH_RETRIES',
    ...count,
    kthenaDefault: '0',
    remark: `nothing: ${alwaysCurrent}`,
    withoutEffect: (_, others) => (refreshes(others) ? alwaysCurrent : undefined),
  },
  {
    name: 'FAIRNESS_REBUILD_THRESHOLD',
    ...positiveCount,
    kthenaDefault: '64',
    remark: `nothing: ${alwaysCurrent}`,
    withoutEffect: (_, others) => (refreshes(others) ? alwaysCurrent : undefined),
  },
  {
    name: 'FAIRNESS_PRIORITY_TOKEN_WEIGHT',
    target: 'fairness.priorityTokenWeight',
    ...weight,
    kthenaDefault: '1.0',
  },
  {
    name: 'FAIRNESS_PRIORITY_REQUEST_NUM_WEIGHT',
    target: 'fairness.priorityRequestNumWeight',
    ...weight,
    kthenaDefault: '0.0',
  },
  {
    name: 'FAIRNESS_QUEUE_TIMEOUT',
    target: 'fairness.queueTimeout',
    accepts: `a duration of more than 0, up to ${longestWait}, like 30s or 1m30s`,
    read: (value) => writtenDuration(value, oneNanosecondMs, longestWaitMs),
    kthenaDefault: '60s',
  },
  { name: 'ENABLE_SESSION_BOOST', target: 'sessionBoost.enabled', ...bool, kthenaDefault: 'false' },
  {
    name: 'SESSION_BOOST_HEADER',
    target: 'sessionBoost.header',
    accepts: 'the name of a header',
    read: (value) => (token.test(value) ? value : undefined),
    kthenaDefault: 'X-Session-ID',
  },
  {
    name: 'SESSION_BOOST_MAX_SESSIONS',
    target: 'sessionBoost.maxSessions',
    accepts: 'a whole number from 1 to 1000000',
    read: (value) => within(parseGoInt(value), 1, 1_000_000),
    kthenaDefault: '4096',
  },
  {
    name: 'SESSION_BOOST_INFLIGHT_PER_POD',
    target: 'sessionBoost.inflightPerPod',
    ...positiveCount,
    kthenaDefault: '16',
  },
  {
    name: 'SESSION_BOOST_GRACE_PERIOD',
    target: 'sessionBoost.gracePeriod',
    accepts: 'a duration of 0 or more, up to 24 days, like 500ms',
    read: (value) => writtenDuration(value, 0, longestMs),
    kthenaDefault: '0',
  },
  {
    name: 'SESSION_BOOST_TIMEOUT',
    target: 'sessionBoost.timeout',
    accepts: `a duration up to ${longestWait}, like 30s; 0 or less is the longest`,
    read: (value) => writtenDuration(value, -Infinity, longestWaitMs),
    kthenaDefault: '30s',
  },
  { name: 'METRICS_SCRAPE_INTERVAL', target: 'scrape.interval', ...positiveDuration, kthenaDefault: '1s' },
  { name: 'DRAIN_TIMEOUT', target: 'limits.drainTimeout', ...positiveDuration, kthenaDefault: '5m' },
  { name: 'ACCESS_LOG_ENABLED', target: 'log.access', ...bool, kthenaDefault: 'true' },
  {
    name: 'ACCESS_LOG_FORMAT',
    target: 'log.format',
    accepts: 'text or json',
    read: (value) => (value === 'text' ? 'pretty' : value === 'json' ? 'json' : undefined),
    kthenaDefault: 'text',
  },
  {
    name: 'ACCESS_LOG_OUTPUT',
    target: 'log.output',
    accepts: 'stdout, stderr or the path of a file',
    read: (value) => value,
    kthenaDefault: 'stdout',
  },
  {
    name: 'REDIS_HOST',
    target: 'limits.store',
    accepts: 'a host name or an IP address',
    read: (value) => (/^[\w.-]+$/.test(value) || isIPv6(value) ? value : undefined),
    compose: redisUrl,
    kthenaDefault: '',
  },
  {
    name: 'REDIS_PORT',
    ...port,
    needs: 'REDIS_HOST',
    remark: '`limits.store`, with REDIS_HOST',
    kthenaDefault: '6379',
  },
  {
    name: 'REDIS_PASSWORD',
    ...text,
    needs: 'REDIS_HOST',
    remark: '`limits.store`, with REDIS_HOST',
    kthenaDefault: '',
  },
  { name: 'POD_NAMESPACE', ...text, kthenaDefault: 'default' },
];

/**
 * Reads the variables; an empty one is one that is not set, as for Kthena. A value that Kthena would replace by its
 * default, with a warning in its log, is a fault and says nothing.
 */
export function readKthenaEnvironment(env: Readonly<Record<string, string | undefined>>): KthenaEnvironment {
  const values = new Map<string, unknown>();
  const faults: KthenaVariableFault[] = [];
  for (const { name, read, accepts, needs } of kthenaVariables) {
    const value = env[name];
    if (value === undefined || value === '') continue;
    if (needs !== undefined && (env[needs] ?? '') === '') continue;
    const found = read(value);
    if (found !== undefined) values.set(name, found);
    else faults.push({ variable: name, value, message: `${shown(value)} is not ${accepts}` });
  }

  let written: Written = {};
  const origins = new Map<string, string>();
  const notes: string[] = [];
  for (const { name, target, compose, implies, withoutEffect } of kthenaVariables) {
    if (!values.has(name)) continue;
    const read = values.get(name);
    const reason = withoutEffect?.(read, values);
    if (reason !== undefined) {
      notes.push(`${name} is not in effect: ${reason}`);
      continue;
    }
    const value = compose === undefined ? read : compose(read, values);
    const fields = [target === undefined ? undefined : { target, value }, implies?.(read)];
    for (const field of fields.filter((candidate) => candidate !== undefined)) {
      written = layered(written, nested(field.target.split('.'), field.value));
      origins.set(field.target, name);
    }
  }
  return { written, origins, faults, notes };
}

function nested([key, ...rest]: readonly string[], value: unknown): Written {
  return { [key!]: rest.length === 0 ? value : nested(rest, value) };
}

function within(value: number | undefined, least: number, most = Infinity): number | undefined {
  return value !== undefined && value >= least && value <= most ? value : undefined;
}

/** Whether Kthena would compute priorities anew while requests wait. */
function refreshes(values: ReadonlyMap<string, unknown>): boolean {
  return (
    values.get('ENABLE_FAIRNESS_SCHEDULING') === true &&
    isMoreThanZero(values.get('FAIRNESS_PRIORITY_REFRESH_RETRIES'))
  );
}

function redisUrl(host: unknown, others: ReadonlyMap<string, unknown>): string {
  const name = String(host);
  const [port, password] = [others.get('REDIS_PORT'), others.get('REDIS_PASSWORD')];
  const user = typeof password === 'string' ? `:${encodeURIComponent(password)}@` : '';
  return `redis://${user}${isIPv6(name) ? `[${name}]` : name}:${typeof port === 'number' ? port : 6379}`;
}

function isMoreThanZero(value: unknown): boolean {
  return typeof value === 'number' && value > 0;
}

/** As it was written where a file may say it in the same way: faults that are found later show it. Below 0 it is 0. */
function writtenDuration(value: string, leastMs: number, mostMs: number): string | undefined {
  const ms = within(parseGoDurationMs(value), leastMs, mostMs);
  if (ms === undefined) return undefined;
  return duration({ zero: true }).safeParse(value).success ? value : `${Math.max(ms, 0)}ms`;
}
