/** Mutations of what a configuration is made of: fields and items come, go and change their places and types. */
import type { Pair } from 'yaml';
import { isCollection, isPair, isScalar, Scalar, YAMLMap, YAMLSeq } from 'yaml';
import type { Dice } from './dice.ts';
import type { Edit } from './edit-text.ts';
import { copied, editTree, insert, setValue, valueAt, type Place, type Tree } from './edit-tree.ts';
import { oddValue, treacherous, words } from './vocabulary.ts';

/** Each does one thing. */
export const structureEdits: readonly Edit[] = [
  atPlace(function remove({ collection, at }) {
    collection.items.splice(at, 1);
  }),
  atPlace(function double({ collection, at }, tree, dice) {
    const target = dice.pick([collection, ...tree.collections()]);
    insert(target, dice.below(target.items.length + 1), copied(collection.items[at]), word(dice));
  }),
  atPlace(function rename({ collection, at }, _, dice) {
    const item: unknown = collection.items[at];
    if (isPair(item)) item.key = word(dice);
  }),
  atPlace(function move({ collection, at }, tree, dice) {
    const [item] = collection.items.splice(at, 1);
    // Without what was taken out: nothing can come to be inside of itself.
    const target = dice.pick(tree.collections()) ?? collection;
    insert(target, dice.below(target.items.length + 1), item, word(dice));
  }),
  atPlace(function swap(place, tree, dice) {
    const other = dice.pick(tree.places());
    if (other === undefined) return;
    const [value, otherValue] = [copied(valueAt(place)), copied(valueAt(other))];
    setValue(place, otherValue);
    setValue(other, value);
  }),
  atPlace(function reorder({ collection, at }, _, dice) {
    const [item] = collection.items.splice(at, 1);
    collection.items.splice(dice.below(collection.items.length + 1), 0, item as Pair);
  }),
  atPlace(function replaceValue(place, tree, dice) {
    setValue(place, tree.raw(oddValue(dice)));
  }),
  atPlace(function replaceScalar(place, tree, dice) {
    if (isScalar(valueAt(place))) setValue(place, tree.raw(oddValue(dice)));
  }),
  atPlace(function replaceKey({ collection, at }, tree, dice) {
    const item: unknown = collection.items[at];
    if (isPair(item)) item.key = tree.raw(oddValue(dice));
  }),
  atPlace(function addField({ collection }, tree, dice) {
    const value = tree.raw(oddValue(dice));
    insert(collection, dice.below(collection.items.length + 1), value, word(dice));
  }),
  atPlace(function wrap(place, _, dice) {
    const around = dice.pick<YAMLMap | YAMLSeq>([new YAMLSeq(), new YAMLMap()]);
    insert(around, 0, copied(valueAt(place)), word(dice));
    setValue(place, around);
  }),
  atPlace(function unwrap(place, _, dice) {
    const value = valueAt(place);
    if (!isCollection(value)) return;
    const collection = value;
    const at = dice.below(collection.items.length);
    setValue(place, collection.items.length === 0 ? new Scalar(null) : copied(valueAt({ collection, at })));
  }),
];

/** An edit of some field or item. */
function atPlace(change: (place: Place, tree: Tree, dice: Dice) => void): Edit {
  return editTree((tree, dice) => {
    const place = dice.pick(tree.places());
    if (place !== undefined) change(place, tree, dice);
  });
}

function word(dice: Dice): Scalar {
  return new Scalar(dice.pick(dice.below(8) === 0 ? treacherous : words));
}
