/** Options of vllm-router that Sluice does not have, and what to use instead. */
import { Option, type Command } from 'commander';

interface RefusedOption {
  /** As vllm-router's help writes it. */
  readonly flags: string;
  /** A sentence for whoever has it on the command line. */
  readonly instead: string;
  /** Whether a value asks for nothing, as the default does. Absent: every value asks for something. */
  readonly asksNothing?: (value: string) => boolean;
}

const lmcache =
  'Sluice asks no LMCache controller: use --routing-logic prefixaware, which remembers what each engine was sent';
const splitting =
  'Sluice does not split a request between two engines: use engines that do all of it, with --routing-logic loadaware';
const batches = 'Sluice keeps no files and runs no batches: send each request to /v1/chat/completions';
const answerCache =
  'Sluice keeps no answers: with --routing-logic prefixaware, engines compute a known beginning of a prompt only once';
const sentry = 'Sluice reports to no Sentry: errors are in the log, with --log-format json for machines';
const tracing = 'Sluice sends no traces: times are in /metrics, and in a log line for each request';

const refusedOptions: readonly RefusedOption[] = [
  {
    flags: '--root-path <path>',
    instead: 'Sluice answers at the root: let the proxy in front remove the prefix',
    asksNothing: (path) => path === '',
  },
  ...[
    '--kv-aware-threshold <tokens>',
    '--lmcache-controller-port <port>',
    '--lmcache-controller-reply-port <port>',
    '--lmcache-controller-heartbeat-port <port>',
    '--lmcache-health-check-interval <seconds>',
    '--lmcache-worker-timeout <seconds>',
  ].map((flags) => ({ flags, instead: lmcache })),
  ...['--prefill-model-labels <labels>', '--decode-model-labels <labels>'].map((flags) => ({
    flags,
    instead: splitting,
  })),
  {
    flags: '--callbacks <instance>',
    instead: 'Sluice runs no Python code: do in a proxy in front what the callbacks do',
    asksNothing: (instance) => instance === '',
  },
  {
    flags: '--request-rewriter <name>',
    instead: 'Sluice changes nothing of a request but the name of its model: use --static-aliases',
    asksNothing: (name) => name === 'noop',
  },
  ...[
    '--enable-batch-api',
    '--file-storage-class <name>',
    '--file-storage-path <path>',
    '--batch-processor <name>',
  ].map((flags) => ({ flags, instead: batches })),
  {
    flags: '--external-providers-config <file>',
    instead:
      'Sluice sends requests to your own engines only: let a gateway in front choose between it and other providers',
  },
  {
    flags: '--feature-gates <gates>',
    instead: 'Sluice has neither SemanticCache nor PIIDetection: leave it out',
    asksNothing: (gates) => !/=\s*true\b/i.test(gates),
  },
  ...[
    '--semantic-cache-model <name>',
    '--semantic-cache-dir <folder>',
    '--semantic-cache-threshold <share>',
  ].map((flags) => ({ flags, instead: answerCache })),
  ...[
    '--sentry-dsn <url>',
    '--sentry-traces-sample-rate <share>',
    '--sentry-profile-session-sample-rate <share>',
  ].map((flags) => ({ flags, instead: sentry })),
  ...['--otel-endpoint <address>', '--otel-service-name <name>', '--otel-secure'].map((flags) => ({
    flags,
    instead: tracing,
  })),
];

const options = refusedOptions.map((refused) => ({ ...refused, option: new Option(refused.flags) }));

/** Makes a command understand them; the help does not show them. */
export function addRefusedOptions(command: Command): Command {
  for (const { flags } of refusedOptions) command.addOption(new Option(flags).hideHelp());
  return command;
}

/** Those that are given and ask for something, each with its sentence. */
export function refusalsOf(flags: Readonly<Record<string, unknown>>): [option: string, message: string][] {
  return options.flatMap(({ option, instead, asksNothing }) => {
    const value = flags[option.attributeName()];
    const isRefused = value !== undefined && !(typeof value === 'string' && asksNothing?.(value) === true);
    return isRefused ? [[option.long ?? option.flags, instead]] : [];
  });
}
