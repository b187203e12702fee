/** An admission that tests steer: what is asked for, what is answered, and what is told afterwards. */
import type { Admission, AdmissionResult, Admit, Arrival, Seen } from '../../src/fairness/admission.ts';
import type { Spent } from '../../src/fairness/ledger.ts';

/** Lets everybody in at once until told otherwise, and keeps what it hears. */
export class Admissions implements Admit {
  readonly arrivals: Arrival[] = [];
  /** What was called on admissions, in order. */
  readonly calls: string[] = [];
  readonly seen: (Seen | undefined)[] = [];
  /** Endpoints that were tried, and whether they answered. */
  readonly tried: [string, boolean][] = [];
  headers: Readonly<Record<string, string>> = {};
  charged: Spent | undefined;
  /** Those with room. */
  candidates: Admission['candidates'] = (endpoints) => endpoints;
  /** What the next ones get; undefined: they are let in at once. */
  next: ((onWait: () => AbortSignal) => AdmissionResult | Promise<AdmissionResult>) | undefined;

  admit(arrival: Arrival, onWait: () => AbortSignal): AdmissionResult | Promise<AdmissionResult> {
    this.arrivals.push(arrival);
    return this.next?.(onWait) ?? this.letIn();
  }

  letIn(): AdmissionResult {
    const admission: Admission = {
      headers: this.headers,
      candidates: (endpoints) => this.candidates(endpoints),
      started: () => void this.calls.push('started'),
      tried: (endpoint, answered) => this.tried.push([endpoint.id, answered]),
      ended: () => void this.calls.push('ended'),
      settle: (seen) => {
        this.calls.push('settle');
        this.seen.push(seen);
        return this.charged;
      },
    };
    return { kind: 'admitted', admission };
  }
}
