/** Waits for something that real sockets bring about while time stands still. */

const giveUpAfterMs = 4000;

/** Resolves once the condition holds; rejects after a few seconds, so that a failing test ends by itself. */
export async function until(condition: () => boolean): Promise<void> {
  const startedAt = performance.now();
  while (!condition()) {
    if (performance.now() - startedAt > giveUpAfterMs)
      throw new Error(`Gave up waiting until ${condition.toString()}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
