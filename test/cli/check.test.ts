import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { checkCommand } from '../../src/cli/check.ts';

let folder: string;
let printed: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'sluice-test-'));
  printed = '';
  jest.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
});

afterEach(() => {
  jest.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

/** What is printed, and what main.ts would print to standard error before it ends with 1. */
async function check(...args: string[]): Promise<{ printed: string; problem: string }> {
  return checkWith('', ...args);
}

async function checkWith(stdin: string, ...args: string[]): Promise<{ printed: string; problem: string }> {
  let problem = '';
  const command = checkCommand(() => stdin)
    .exitOverride()
    .configureOutput({ writeErr: (text) => (problem += text) });
  await command.parseAsync(args, { from: 'user' }).catch((error: unknown) => {
    if (problem === '') problem = error instanceof Error ? error.message : String(error);
  });
  return { printed, problem };
}

function file(name: string, text: string): string {
  const full = path.join(folder, name);
  writeFileSync(full, text);
  return full;
}

const routerConfiguration = `scheduler:
  pluginConfig:
  - name: least-request
    args:
      maxWaitingRequests: 10
  plugins:
    Score:
      enabled:
        - name: gpu-usage
          weight: 1
`;

const configMap = `apiVersion: v1
kind: ConfigMap
metadata:
  name: kthena-router-config
data:
  routerConfiguration: |-
${routerConfiguration.replace(/^(?=.)/gm, '    ')}`;

const broken = `scheduler:
  pluginConfig:
    - name: prefix-cach
    - name: least-request
      args: { maxWaitingRequest: 3 }
limits:
  maxBodyBytes: 16 megs
log: { levle: debug }
discovery: { static: { backends: [{ models: [m] }] } }
`;

describe('checkCommand()', () => {
  it('says what a good file means', async () => {
    const good = file(
      'sluice.yaml',
      'discovery: { static: { backends: [{ url: "http://10.0.0.1:8000" }] } }',
    );
    const { printed, problem } = await check(good);
    expect(problem).toBe('');
    expect(printed).toMatch(/^\S+sluice\.yaml: can be used\n/);
    expect(printed).toMatch(/\n {2}static\.backends\[0\]\.url +http:\/\/10\.0\.0\.1:8000\n/);
  });

  it('knows the form of a ConfigMap and of a mounted one', async () => {
    expect((await check(file('manifest.yaml', configMap))).printed).toContain(
      'key routerConfiguration of ConfigMap "kthena-router-config"',
    );
    rmSync(path.join(folder, 'manifest.yaml'));
    printed = '';
    file('routerConfiguration', routerConfiguration);
    expect((await check(folder)).printed).toMatch(/\n {2}kv-cache +weight 1 .* The same as gpu-usage\.\n/);
  });

  it('reads standard input', async () => {
    expect((await checkWith('limits: { drainTimeout: 5m }', '-')).printed).toMatch(
      /^stdin: can be used\n[^]*limits\.drainTimeout +5m +instead of 30s\n/,
    );
    expect((await checkWith('limits: { drainTimeout: long }', '-')).problem).toContain(
      'stdin:1:25: limits.drainTimeout',
    );
  });

  it('reports every fault with its line and the nearest word', async () => {
    const bad = file('bad.yaml', broken);
    const { printed, problem } = await check(bad);
    expect(printed).toBe('');
    expect(problem.split('\n').map((line) => line.trim().replace(bad, 'bad.yaml'))).toEqual([
      'Cannot use configuration "bad.yaml": 5 faults',
      expect.stringMatching(
        /^bad\.yaml:3:13: scheduler\.pluginConfig\[0\]\.name: .*did you mean "prefix-cache"\?$/,
      ),
      expect.stringMatching(
        /^bad\.yaml:5:15: scheduler\.pluginConfig\[1\]\.args\.maxWaitingRequest: .*did you mean "maxWaitingRequests"\?$/,
      ),
      expect.stringMatching(/^bad\.yaml:7:17: limits\.maxBodyBytes: "16 megs" is not a size/),
      expect.stringMatching(/^bad\.yaml:8:8: log\.levle: .*did you mean "level"\?$/),
      expect.stringMatching(/^bad\.yaml:9:35: discovery\.static\.backends\[0\]\.url: is missing$/),
    ]);
  });

  it('looks at all files even where one cannot be used', async () => {
    const good = file('good.yaml', 'limits: { drainTimeout: 5m }');
    const bad = file('bad.yaml', 'admin: { port: -1 }');
    const absent = path.join(folder, 'absent.yaml');
    const { printed, problem } = await check(bad, good, absent);
    expect(printed).toMatch(/^\S+good\.yaml: can be used\n/);
    expect(problem.split('\n')).toEqual([
      'Cannot use 2 of 3 configurations',
      `Cannot use configuration "${bad}": 1 fault`,
      expect.stringContaining('bad.yaml:1:16: admin.port: -1 is too small'),
      expect.stringMatching(/^Cannot read configuration ".*absent\.yaml"/),
    ]);
  });

  it('is lenient where it is asked to be', async () => {
    const stranger = file('kthena.yaml', `${routerConfiguration}surprise: true\n`);
    expect((await check(stranger)).problem).toContain('surprise: there is no field "surprise" here');
    const { printed, problem } = await check('--lenient', stranger);
    expect(problem).toBe('');
    expect(printed).toMatch(/\nWarnings: let pass by --lenient\n {2}\S+kthena\.yaml:11:1: surprise: /);
  });

  it('counts the environment only where it is asked to', async () => {
    const nothing = file('nothing.yaml', '');
    const before = process.env['DRAIN_TIMEOUT'];
    process.env['DRAIN_TIMEOUT'] = '7m';
    try {
      expect((await check(nothing)).printed).toMatch(/Everything else\n {2}has its default\n/);
      expect((await check('--with-env', nothing)).printed).toMatch(
        /limits\.drainTimeout +7m +instead of 30s\n/,
      );
    } finally {
      if (before === undefined) delete process.env['DRAIN_TIMEOUT'];
      else process.env['DRAIN_TIMEOUT'] = before;
    }
  });

  it('says the same to a program', async () => {
    const good = file('good.yaml', configMap);
    const bad = file('bad.yaml', 'admin: { port: -1 }');
    const { printed, problem } = await check('--json', good, bad, path.join(folder, 'absent.yaml'));
    expect(problem).toContain('Cannot use 2 of 3 configurations');
    expect(JSON.parse(printed)).toEqual([
      {
        file: good,
        form: expect.stringContaining('ConfigMap "kthena-router-config"'),
        valid: true,
        faults: [],
        warnings: [],
        notes: [],
        skipped: [],
        config: expect.objectContaining({
          scheduler: {
            pluginConfig: [{ name: 'least-request', args: { maxWaitingRequests: 10, loadScale: 10 } }],
            plugins: {
              Filter: { enabled: ['least-request'], disabled: [] },
              Score: { enabled: [{ name: 'kv-cache', weight: 1 }], disabled: [] },
            },
            maxEndpoints: 3,
          },
          limits: {
            maxBodyBytes: '16MiB',
            maxBodyDepth: 128,
            drainTimeout: '30s',
            store: 'memory',
            rules: [],
          },
        }),
      },
      {
        file: bad,
        form: null,
        valid: false,
        faults: [
          { file: bad, line: 1, column: 16, path: 'admin.port', message: expect.stringContaining('-1') },
        ],
        warnings: [],
        notes: [],
        skipped: [],
        config: null,
      },
      expect.objectContaining({
        valid: false,
        faults: [
          expect.objectContaining({ line: 0, message: expect.stringContaining('Cannot read configuration') }),
        ],
      }),
    ]);
  });

  it('prints the schema', async () => {
    const { printed, problem } = await check('--schema');
    expect(problem).toBe('');
    expect(JSON.parse(printed)).toMatchObject({
      title: 'Sluice configuration',
      properties: { scheduler: {} },
    });
  });

  it('needs a file', async () => {
    expect((await check()).problem).toBe('error: name a file to check, or ask for the --schema\n');
  });

  it.each([
    'kthena-scheduler.yaml',
    'matrixinfer-scheduler.yaml',
    'kthena-router.yaml',
    'matrixinfer-gateway.yaml',
  ])('explains the example of a guide, %s', async (name) => {
    const example = path.resolve(import.meta.dirname, '../config/fixtures', `${name}.txt`);
    const { printed, problem } = await checkWith(readFileSync(example, 'utf8'), '-');
    expect(problem).toBe('');
    expect(printed).toMatch(/\n {2}prefix-cache +weight 1 +25 % of the total /);
    expect(printed).toMatch(/\n {2}lora-affinity +filter +was not enabled\n/);
    expect(printed).toMatch(/\n {2}prefix-cache +blockSizeToHash +64\n/);
  });
});
