import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RecencyList, type Neighbours } from '../../src/fairness/recency-list.ts';

interface Member extends Neighbours<Member> {
  readonly name: number;
}

function namesOf(list: RecencyList<Member>): number[] {
  const names: number[] = [];
  for (let member = list.oldest; member !== undefined; member = member.newer) names.push(member.name);
  return names;
}

describe('RecencyList', () => {
  it('oldest is whoever was appended longest ago', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 30 }), (moves) => {
        const list = new RecencyList<Member>();
        const members = Array.from({ length: 6 }, (_, name): Member => ({
          name,
          older: undefined,
          newer: undefined,
        }));
        let expected: number[] = [];
        for (const name of moves) {
          const known = expected.includes(name);
          expected = expected.filter((other) => other !== name);
          if (known) list.remove(members[name]!);
          // Every third move of a member that is in the list takes it out for good.
          if (!known || name % 3 !== 0) {
            list.append(members[name]!);
            expected.push(name);
          }
          expect(namesOf(list)).toEqual(expected);
        }
      }),
    );
  });
});
