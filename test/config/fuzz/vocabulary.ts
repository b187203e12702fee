/** Words and values that a mutation writes into a configuration. */
import { configForm, fieldsOf, itemsOf, type JsonSchema } from '../../../src/config/json-schema.ts';
import { createRegistry } from '../../../src/scheduling/registry.ts';
import type { Dice } from './dice.ts';

/** Names that JavaScript gives a meaning of its own. */
export const treacherous: readonly string[] = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'valueOf',
  'length',
];

const foreign = [
  ...['apiVersion', 'kind', 'metadata', 'data', 'spec', 'items', 'List', 'ConfigMap', 'StaticRoute'],
  ...[
    'routerConfiguration',
    'schedulerConfiguration',
    'sluice.yaml',
    'inferGateway',
    'kthenaRouter',
    'config',
  ],
  ...['routing_logic', 'static_backends', 'static_models', 'session_key', 'kvcache-aware', 'Name', 'Weight'],
];

/** Names of plugins, their aliases included. */
export const pluginNames: readonly string[] = createRegistry().names();

/** Every word that a configuration may have for a key or a name, and some that it may not. */
export const words: readonly string[] = [
  ...new Set([...fieldNames(configForm()), ...pluginNames, ...treacherous, ...foreign]),
];

function fieldNames(form: JsonSchema): string[] {
  const items = itemsOf(form);
  const branches = [...(form.anyOf ?? []), ...(form.oneOf ?? [])];
  return [
    ...Object.entries(fieldsOf(form)).flatMap(([name, field]) => [name, ...fieldNames(field)]),
    ...(items === undefined ? [] : fieldNames(items)),
    ...branches.flatMap((branch) => (typeof branch === 'object' ? fieldNames(branch) : [])),
  ];
}

/** As they are written in YAML. */
const numbers = [
  ...[
    '0',
    '-0',
    '1',
    '-1',
    '2',
    '3',
    '7',
    '0.5',
    '-0.5',
    '1.5',
    '100',
    '1e2',
    '.5',
    '5.',
    '+1',
    '1_000',
    '007',
  ],
  ...[
    '0x10',
    '0o17',
    '0b1',
    '1e-7',
    '5e-324',
    '1e-400',
    '1e15',
    '9007199254740991',
    '9007199254740993',
    '1e22',
  ],
  ...[
    '1e308',
    '1.7976931348623157e308',
    '1e309',
    '-1e309',
    '.nan',
    '.NaN',
    '.inf',
    '-.inf',
    'NaN',
    'Infinity',
  ],
  ...['2147483647', '2147483.647', '2147484', '65535', '65536', '10000000', '10000001'],
] as const;

const quantities = [
  ...[
    '0s',
    '1ms',
    '0.5ms',
    '0.0000001ms',
    '1s',
    '59s',
    '1m',
    '1m30s',
    '1h',
    '61m',
    '600h',
    '700h',
    '1d',
    '-1s',
  ],
  ...[
    '1 s',
    '1S',
    '1e3s',
    '.5s',
    '1s1s',
    '99999999999999999999s',
    '1B',
    '0B',
    '0.1KB',
    '0.5KiB',
    '16MiB',
    '8 GiB',
  ],
  ...['16mib', '9007199254740991B', '9007199254740992B', '1TiB', '1K'],
] as const;

const others = [
  ...[
    '',
    'null',
    '~',
    'true',
    'false',
    'yes',
    'True',
    '""',
    '" "',
    "''",
    '"0"',
    '"1"',
    '"-1"',
    '"true"',
    '"null"',
  ],
  ...[
    'a',
    '"a b"',
    '"\\n"',
    '"\\u0000"',
    '"\\ud800"',
    '"é"',
    '*a',
    '&a 1',
    '!!str 1',
    '!!int "1"',
    '!x 1',
    '"*"',
  ],
  ...[
    '[]',
    '{}',
    '[[]]',
    '[{}]',
    '[null]',
    '{a: }',
    '{a: 1}',
    '[1]',
    '[a, a]',
    '{name: a}',
    '[{name: a}]',
    '{[]: 1}',
  ],
  ...['{__proto__: a}', '{__proto__: [a]}', '{constructor: a}', '{name: __proto__, weight: 1}', '"{{ x }}"'],
  ...[
    '/a',
    '/a/*',
    '/*',
    '/a/../b',
    'http://a:1',
    'http://u:p@a:1',
    'https://a/b',
    'file:///a',
    '"a:1,b:2"',
    'a*b',
  ],
  ...['2020-01-01', '|', '>-', '"x".', `"${'x'.repeat(300)}"`, 'x'.repeat(3000)],
] as const;

/** A number, as it is written. */
export function oddNumber(dice: Dice): string {
  return dice.pick(numbers);
}

/** Anything that can stand for a value, as it is written; not all of it is YAML. */
export function oddValue(dice: Dice): string {
  return dice.pick(dice.pick<readonly [string, ...string[]]>([numbers, quantities, others, others]));
}

/** A duration or a size, as it is written; not all of them are. */
export function oddQuantity(dice: Dice): string {
  return dice.pick(quantities);
}
