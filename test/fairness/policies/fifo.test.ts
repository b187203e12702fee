import { describe, expect, it } from '@jest/globals';
import { createFifoPolicy } from '../../../src/fairness/policies/fifo.ts';
import { QueueRig } from '../support/queue-rig.ts';

describe('createFifoPolicy()', () => {
  it('goes by arrival, whoever asks', () => {
    const rig = new QueueRig({ slots: 0, policy: createFifoPolicy() });
    const names = ['b1', 'a1', 'b2', 'b3', 'c1', 'a2'];
    for (const name of names) rig.join(name, { outputTokens: 100 });
    rig.slots = 6;
    rig.queue.poke();
    expect(rig.order).toEqual(names);
  });
});
