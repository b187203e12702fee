import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { App } from '../../src/app.ts';
import { runApp } from '../../src/cli/run-app.ts';
import { testConfig } from '../support/configuration.ts';

/** Lets everything run that waits for nothing but its turn. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** An app that writes down what is done with it, and drains when told. */
function fakeApp() {
  const calls: string[] = [];
  let drained: () => void = () => undefined;
  const app: App = {
    grpcPort: 1,
    adminUrl: '',
    config: () => testConfig([]).config,
    async reload() {
      calls.push('reload');
    },
    ready: async () => undefined,
    drain() {
      calls.push('drain');
      return new Promise((resolve) => (drained = resolve));
    },
    async stop() {
      calls.push('stop');
    },
  };
  return { app, calls, drained: () => drained() };
}

let listening: readonly number[];
const listeners = () => ['SIGINT', 'SIGTERM', 'SIGHUP'].map((name) => process.listenerCount(name));
beforeEach(() => {
  listening = listeners();
});
afterEach(() => {
  process.removeAllListeners('SIGINT').removeAllListeners('SIGTERM').removeAllListeners('SIGHUP');
});

describe('runApp()', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('runs until %s, then drains, then stops', async (name) => {
    const { app, calls, drained } = fakeApp();
    const started: App[] = [];
    const done = runApp(
      async () => app,
      (running) => started.push(running),
    );
    await settle();
    expect([started, calls]).toEqual([[app], []]);
    process.emit(name);
    await settle();
    expect(calls).toEqual(['drain']);
    drained();
    await done;
    expect(calls).toEqual(['drain', 'stop']);
  });

  it('reads the configuration again at SIGHUP, as often as told', async () => {
    const { app, calls, drained } = fakeApp();
    const done = runApp(async () => app);
    await settle();
    process.emit('SIGHUP');
    process.emit('SIGHUP');
    expect(calls).toEqual(['reload', 'reload']);
    process.emit('SIGTERM');
    await settle();
    drained();
    await done;
  });

  it('waits no longer at a second signal', async () => {
    const { app, calls } = fakeApp();
    const done = runApp(async () => app);
    await settle();
    process.emit('SIGTERM');
    await settle();
    process.emit('SIGINT');
    await done;
    expect(calls).toEqual(['drain', 'stop']);
  });

  it('heeds a signal that comes while it starts', async () => {
    const { app, calls, drained } = fakeApp();
    let start: (app: App) => void = () => undefined;
    const done = runApp(() => new Promise((resolve) => (start = resolve)));
    process.emit('SIGTERM');
    await settle();
    expect(calls).toEqual([]);
    start(app);
    await settle();
    expect(calls).toEqual(['drain']);
    drained();
    await done;
  });

  it('ends in peace where a signal has the start given up', async () => {
    const waiting = (signal: AbortSignal) =>
      new Promise<App>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    const done = runApp(waiting);
    process.emit('SIGTERM');
    await done;
    expect(listeners()).toEqual(listening);
  });

  it('fails as the start fails, also after a signal', async () => {
    const problem = new Error('the port is taken');
    let fail: (error: Error) => void = () => undefined;
    const done = runApp(() => new Promise((_, reject) => (fail = reject)));
    process.emit('SIGTERM');
    await settle();
    fail(problem);
    await expect(done).rejects.toBe(problem);
  });

  it('fails as the start fails, and leaves signals to their default', async () => {
    const problem = new Error('the port is taken');
    await expect(runApp(() => Promise.reject(problem))).rejects.toBe(problem);
    expect(listeners()).toEqual(listening);
  });

  it('leaves signals to their default at the end', async () => {
    const { app, drained } = fakeApp();
    const done = runApp(async () => app);
    await settle();
    process.emit('SIGTERM');
    await settle();
    drained();
    await done;
    expect(listeners()).toEqual(listening);
  });
});
