import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Ticket } from '../../src/fairness/ticket.ts';
import { anEndpoint } from '../support/endpoints.ts';

describe('Ticket', () => {
  it('routeTo() reserves, settle() gives back', () => {
    const endpoint = anEndpoint(0);
    const ticket = new Ticket();
    expect(ticket.routeTo(endpoint)).toBe(true);
    expect([endpoint.inFlight, ticket.holder, ticket.routedTo]).toEqual([1, endpoint, endpoint]);
    expect(ticket.settle()).toBe(true);
    expect([endpoint.inFlight, ticket.holder, ticket.routedTo]).toEqual([0, undefined, endpoint]);
  });

  it('servedBy() moves the reservation and leaves routedTo', () => {
    const [a, b] = [anEndpoint(0), anEndpoint(1)];
    const ticket = new Ticket();
    ticket.routeTo(a);
    expect(ticket.servedBy(b)).toBe(true);
    expect([a.inFlight, b.inFlight, ticket.routedTo, ticket.holder]).toEqual([0, 1, a, b]);
    ticket.servedBy(b);
    expect(b.inFlight).toBe(1);
  });

  it('ignores what comes after settle(), and says so', () => {
    const endpoint = anEndpoint(0);
    const ticket = new Ticket();
    ticket.routeTo(endpoint);
    ticket.settle();
    expect([ticket.settle(), ticket.routeTo(endpoint), ticket.servedBy(endpoint)]).toEqual([
      false,
      false,
      false,
    ]);
    expect(endpoint.inFlight).toBe(0);
  });

  it('settle() gives back what admission took, once, even if it was never routed', () => {
    let given = 0;
    const ticket = new Ticket(() => given++);
    ticket.settle();
    ticket.settle();
    expect([given, ticket.settled]).toEqual([1, true]);
  });

  it('settle() has given back in flight when giving back to admission fails', () => {
    const endpoint = anEndpoint(0);
    const ticket = new Ticket(() => {
      throw new Error('queue is gone');
    });
    ticket.routeTo(endpoint);
    expect(() => ticket.settle()).toThrow('queue is gone');
    expect([endpoint.inFlight, ticket.settle()]).toEqual([0, false]);
  });

  it('leaves in flight at zero after any sequence', () => {
    const step = fc.record({
      ticket: fc.integer({ min: 0, max: 3 }),
      endpoint: fc.integer({ min: 0, max: 2 }),
      act: fc.constantFrom('routeTo' as const, 'servedBy' as const, 'settle' as const),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const endpoints = [anEndpoint(0), anEndpoint(1), anEndpoint(2)];
        const tickets = Array.from({ length: 4 }, () => new Ticket());
        for (const { ticket: t, endpoint: e, act } of steps) {
          const ticket = tickets[t]!;
          if (act === 'settle') ticket.settle();
          else ticket[act](endpoints[e]!);
          for (const endpoint of endpoints) {
            expect(endpoint.inFlight).toBe(tickets.filter(({ holder }) => holder === endpoint).length);
          }
        }
        for (const ticket of tickets) ticket.settle();
        expect(endpoints.map(({ inFlight }) => inFlight)).toEqual([0, 0, 0]);
      }),
    );
  });
});
