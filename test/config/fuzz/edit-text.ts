/** Mutations of a text: characters and lines. */
import type { Dice } from './dice.ts';

/** What some mutations do to a text. */
export type Edit = (text: string, dice: Dice) => string;

const fragments = [
  ...['\n', ' ', '\t', '  ', ':', ': ', '- ', '? ', '|', '|-\n', '>', '"', "'", '#', ' #', '---\n', '...\n'],
  ...['[', ']', '{', '}', '{{', '}}', '{{ x }}', '{{ x\n}}', '{{/*', ',', '&a ', '*a', '<<: *a\n', '!!str '],
  ...['!x ', '%YAML 1.1\n', '\r\n', '\r', '\uFEFF', '\0', '\u007F', '\u0085', '\u2028', '\\', '@', '`', '-'],
  ...[
    '0',
    '9',
    '.',
    'e9',
    'x',
    'é',
    '\u{1F600}',
    '\uD800',
    '__proto__: 1\n',
    'constructor: 1\n',
    'null',
    '~',
  ],
  ...[
    'kind: ConfigMap\n',
    'kind: "a\\nb"\n',
    'data:\n',
    'sluice.yaml: |\n',
    'kind: List\nitems:\n',
    '1: 2\n',
  ],
] as const;

/** Each does one thing. */
export const textEdits: readonly Edit[] = [
  function insert(text, dice) {
    const at = dice.below(text.length + 1);
    return text.slice(0, at) + dice.pick(fragments) + text.slice(at);
  },
  function replace(text, dice) {
    const at = dice.below(text.length);
    return text.slice(0, at) + dice.pick(fragments) + text.slice(at + 1);
  },
  function remove(text, dice) {
    const at = dice.below(text.length);
    return text.slice(0, at) + text.slice(at + 1 + dice.below(dice.pick([1, 12])));
  },
  function double(text, dice) {
    const at = dice.below(text.length);
    const end = at + 1 + dice.below(8);
    return text.slice(0, end) + text.slice(at);
  },
  lines(function removeLine(all, dice) {
    all.splice(dice.below(all.length), 1 + dice.below(2));
  }),
  lines(function moveLines(all, dice) {
    const moved = all.splice(dice.below(all.length), 1 + dice.below(4));
    all.splice(dice.below(all.length), 0, ...moved);
  }),
  lines(function doubleLines(all, dice) {
    const at = dice.below(all.length);
    all.splice(dice.below(all.length), 0, ...all.slice(at, at + 1 + dice.below(3)));
  }),
  lines(function indent(all, dice) {
    const at = dice.below(all.length);
    const end = at + 1 + dice.below(dice.pick([1, 6]));
    const by = dice.pick([' ', '  ', '\t', '-', '- ']);
    for (let i = at; i < Math.min(end, all.length); i++) all[i] = by + all[i]!;
  }),
  lines(function outdent(all, dice) {
    const at = dice.below(all.length);
    const end = at + 1 + dice.below(dice.pick([1, 6]));
    for (let i = at; i < Math.min(end, all.length); i++) all[i] = all[i]!.replace(/^ {1,2}/, '');
  }),
  lines(function comment(all, dice) {
    const at = dice.below(all.length);
    all[at] = `#${all[at] ?? ''}`;
  }),
  function cutOff(text, dice) {
    return text.slice(0, dice.below(text.length));
  },
  function useCarriageReturns(text) {
    return text.replaceAll(/\r?\n/g, '\r\n');
  },
  function append(text, dice) {
    return `${text}\n${dice.pick(['---\n', '...\n', ''])}${dice.pick([text, 'log: {}\n', 'a\n', '- a\n', '# a\n'])}`;
  },
];

function lines(change: (all: string[], dice: Dice) => void): Edit {
  return (text, dice) => {
    const all = text.split('\n');
    change(all, dice);
    return all.join('\n');
  };
}
