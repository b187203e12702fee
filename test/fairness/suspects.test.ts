import { beforeEach, describe, expect, it } from '@jest/globals';
import type { Endpoint } from '../../src/endpoints/endpoint.ts';
import { createSuspects, type Suspects } from '../../src/fairness/suspects.ts';
import { anEndpoint } from '../support/endpoints.ts';
import { FakeClock } from '../support/fake-clock.ts';

const room = 5;

let clock: FakeClock;
let suspects: Suspects;
let trials: number;
let endpoint: Endpoint;
beforeEach(() => {
  clock = new FakeClock();
  trials = 0;
  suspects = createSuspects({ clock, onTrial: () => trials++ });
  endpoint = anEndpoint(0);
});

describe('trusted()', () => {
  it('is all the room of an endpoint that nobody complained of', () => {
    suspects.failed(anEndpoint(1));
    expect(suspects.trusted(endpoint, room)).toBe(room);
    expect(suspects.trusted(endpoint, 0)).toBe(0);
  });

  it('is nothing for a second after a failure, then one request at a time until that is answered', () => {
    suspects.failed(endpoint);
    expect(suspects.size).toBe(1);
    clock.advance(999);
    expect(suspects.trusted(endpoint, room)).toBe(0);
    expect(trials).toBe(0);
    clock.advance(1);
    expect(trials).toBe(1);
    expect(suspects.trusted(endpoint, room)).toBe(1);
    expect(suspects.trusted(endpoint, 0)).toBe(0);
    endpoint.inFlight++;
    expect(suspects.trusted(endpoint, room)).toBe(0);
    suspects.cleared(endpoint);
    expect(suspects.trusted(endpoint, room)).toBe(room);
    expect(suspects.size).toBe(0);
  });

  it('is another trial when one ended and said nothing', () => {
    suspects.failed(endpoint);
    clock.advance(1000);
    expect(suspects.trusted(endpoint, room)).toBe(1);
    endpoint.inFlight++;
    expect(suspects.trusted(endpoint, room)).toBe(0);
    endpoint.inFlight--;
    expect(suspects.trusted(endpoint, room)).toBe(1);
  });

  it('is a trial beside requests that it got before', () => {
    endpoint.inFlight = 3;
    suspects.failed(endpoint);
    clock.advance(1000);
    expect(suspects.trusted(endpoint, room)).toBe(1);
    endpoint.inFlight++;
    expect(suspects.trusted(endpoint, room)).toBe(0);
    endpoint.inFlight -= 2;
    expect(suspects.trusted(endpoint, room)).toBe(1);
  });

  it('is nothing for another second after a trial that failed', () => {
    suspects.failed(endpoint);
    clock.advance(1000);
    suspects.failed(endpoint);
    clock.advance(500);
    expect(suspects.trusted(endpoint, room)).toBe(0);
    clock.advance(500);
    expect(suspects.trusted(endpoint, room)).toBe(1);
    expect(trials).toBe(2);
  });
});

describe('createSuspects()', () => {
  it('tells of each endpoint that may be tried', () => {
    suspects.failed(endpoint);
    clock.advance(300);
    suspects.failed(anEndpoint(1));
    clock.advance(700);
    expect(trials).toBe(1);
    clock.advance(300);
    expect(trials).toBe(2);
    expect(clock.pending).toBe(0);
  });

  it('keeps no timer once it is stopped', () => {
    suspects.failed(endpoint);
    suspects.stop();
    expect(clock.pending).toBe(0);
  });
});
