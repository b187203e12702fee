/** Whether whatever was started does its work by now. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Child } from './children.ts';
import { promptBody } from './prompts.ts';

/** Waits until a completion comes back: somebody listens, knows the engines, and routes. */
export async function servesCompletions(url: string, server: Child): Promise<void> {
  const deadline = AbortSignal.timeout(15_000);
  for (;;) {
    const status = await Promise.race([tryCompletion(url, deadline), server.failed]);
    if (status === 200) return;
    if (deadline.aborted)
      throw new Error(`Cannot get a completion through ${url}: the last status was ${status}`);
    await delay(50);
  }
}

async function tryCompletion(url: string, signal: AbortSignal): Promise<number> {
  try {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: promptBody(2000),
      signal,
    });
    await response.arrayBuffer();
    return response.status;
  } catch {
    return 0;
  }
}
