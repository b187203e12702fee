/** Mutations of the words and numbers in a configuration: what people mistype, and what they should not ask for. */
import { isPair, isScalar, Scalar } from 'yaml';
import type { Dice } from './dice.ts';
import type { Edit } from './edit-text.ts';
import { editTree, setValue, valueAt, type Place, type Tree } from './edit-tree.ts';
import { oddNumber, oddQuantity, oddValue, pluginNames, words } from './vocabulary.ts';

/** Each does one thing. */
export const wordEdits: readonly Edit[] = [
  atText((text, dice) => misspelt(text, dice)),
  atText((text, dice) => otherCase(text, dice)),
  atText((_, dice) => dice.pick(words)!),
  atPluginName((name, dice) => misspelt(name, dice)),
  atPluginName((name, dice) => otherCase(name, dice)),
  atPluginName((_, dice) => dice.pick(pluginNames)!),
  atPluginName((_, dice) => dice.pick(pluginNames)!),
  atValue(isNamed('weight'), (_, tree, dice) => tree.raw(oddNumber(dice))),
  atValue(isNamed('weight'), (_, tree, dice) => tree.raw(oddValue(dice))),
  atValue(isNumber, (_, tree, dice) => tree.raw(oddNumber(dice))),
  atValue(isNumber, (value, tree) => tree.raw(`"${String(value)}"`)),
  atValue(isQuantity, (_, tree, dice) => tree.raw(oddQuantity(dice))),
  atValue(isQuantity, (_, tree, dice) => tree.raw(oddNumber(dice))),
  editTree(function changeAllWeights(tree, dice) {
    const number = oddNumber(dice);
    for (const place of tree.places()) if (isNamed('weight')(place)) setValue(place, tree.raw(number));
  }),
];

function atValue(
  isMeant: (place: Place) => boolean,
  change: (value: unknown, tree: Tree, dice: Dice) => Scalar,
): Edit {
  return editTree((tree, dice) => {
    const place = dice.pick(tree.places().filter(isMeant));
    if (place !== undefined) setValue(place, change(scalarAt(place), tree, dice));
  });
}

/** Changes a key, or a value that is a text. */
function atText(change: (text: string, dice: Dice) => string): Edit {
  return editTree((tree, dice) => {
    const place = dice.pick(tree.places());
    if (place === undefined) return;
    const item: unknown = place.collection.items[place.at];
    const value = scalarAt(place);
    const isKeyMeant = typeof value !== 'string' || dice.below(2) === 0;
    if (isPair(item) && isScalar(item.key) && isKeyMeant)
      item.key = new Scalar(change(String(item.key.value), dice));
    else if (typeof value === 'string') setValue(place, new Scalar(change(value, dice)));
  });
}

function atPluginName(change: (name: string, dice: Dice) => string): Edit {
  return atValue(
    (place) => pluginNames.some((name) => name === scalarAt(place)),
    (name, _, dice) => new Scalar(change(String(name), dice)),
  );
}

function scalarAt(place: Place): unknown {
  const value = valueAt(place);
  return isScalar(value) ? value.value : undefined;
}

function isNamed(name: string): (place: Place) => boolean {
  return ({ collection, at }) => {
    const item: unknown = collection.items[at];
    return isPair(item) && isScalar(item.key) && item.key.value === name;
  };
}

function isNumber(place: Place): boolean {
  return typeof scalarAt(place) === 'number';
}

/** A duration or a size. */
function isQuantity(place: Place): boolean {
  const value = scalarAt(place);
  return typeof value === 'string' && /^[\d.]+[a-zA-Z]+/.test(value);
}

function misspelt(text: string, dice: Dice): string {
  const at = dice.below(text.length);
  const [before, letter, after] = [text.slice(0, at), text.charAt(at), text.slice(at + 1)];
  switch (dice.below(5)) {
    case 0:
      return before + after;
    case 1:
      return before + letter + letter + after;
    case 2:
      return before + after.slice(0, 1) + letter + after.slice(1);
    case 3:
      return `${text}s`;
    default:
      return before + dice.pick(['e', '-', '_', ' ', 'é']) + after;
  }
}

function otherCase(text: string, dice: Dice): string {
  switch (dice.below(4)) {
    case 0:
      return text.toUpperCase();
    case 1:
      return text.toLowerCase();
    case 2:
      return text.charAt(0).toUpperCase() + text.slice(1);
    default:
      return text.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());
  }
}
