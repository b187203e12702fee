/** Endpoints without a store behind them: what discovery serves is what the test says. */
import { endpointId, type Endpoint, type EndpointSnapshot } from '../../../src/endpoints/endpoint.ts';

export type FakeEndpoint = Partial<Pick<Endpoint, 'address' | 'tls' | 'hostname' | 'health'>> & {
  readonly port: number;
};

export class FakeEndpoints {
  #snapshot = snapshotOf(0, []);
  readonly #listeners = new Set<() => void>();

  readonly snapshot = (): EndpointSnapshot => this.#snapshot;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  get listeners(): number {
    return this.#listeners.size;
  }

  publish(...endpoints: FakeEndpoint[]): void {
    this.#snapshot = snapshotOf(this.#snapshot.generation + 1, endpoints);
    for (const listener of this.#listeners) listener();
  }
}

function snapshotOf(generation: number, endpoints: FakeEndpoint[]): EndpointSnapshot {
  return {
    generation,
    endpoints: endpoints.map(
      ({ address = '127.0.0.1', port, tls = false, hostname, health = { kind: 'healthy' } }, slot) => ({
        id: endpointId(address, port),
        address,
        port,
        tls,
        hostname,
        health,
        slot,
        configuredModels: [],
        url: `http://${address}:${port}`,
        inFlight: 0,
        metrics: undefined,
        listedModels: undefined,
      }),
    ),
    readyByModel: new Map(),
    models: new Set(),
  };
}
