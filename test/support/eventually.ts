/** Waits for something that only asking again can tell: a page of the admin server, a process, a port. */

const pauseMs = 20;

/** Resolves once the condition holds, asked again and again; rejects after `giveUpAfterMs`, by default ten seconds. */
export async function eventually(
  holds: () => Promise<boolean> | boolean,
  giveUpAfterMs = 10_000,
): Promise<void> {
  const startedAt = performance.now();
  while (!(await holds())) {
    if (performance.now() - startedAt > giveUpAfterMs)
      throw new Error(`Gave up waiting until ${holds.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}
