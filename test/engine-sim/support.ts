/** Starts simulated engines for tests and stops them afterwards. */
import { afterEach } from '@jest/globals';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { EngineProfile } from '../../src/engine-sim/profile.ts';
import { profileSchema } from '../../src/engine-sim/profile.ts';
import type { SimulatedEngine, SimulatedEngineOptions } from '../../src/engine-sim/server.ts';
import { startSimulatedEngine } from '../../src/engine-sim/server.ts';

const running: SimulatedEngine[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((engine) => engine.stop()));
});

/** An engine on a free port, a hundred times faster than the real one unless told otherwise. */
export async function startEngine(options: Partial<SimulatedEngineOptions> = {}): Promise<SimulatedEngine> {
  const engine = await startSimulatedEngine({ model: 'm', speed: 100, ...options });
  running.push(engine);
  return engine;
}

/** A small profile in round numbers: 10 ms a step, prompts of 1000 tokens/s, blocks of 4 tokens. */
export function smallProfile(overrides: Partial<EngineProfile> = {}): EngineProfile {
  return profileSchema.parse({
    blockSize: 4,
    kvBlocks: 100,
    maxModelLen: 400,
    maxNumSeqs: 8,
    maxNumBatchedTokens: 64,
    stepBaseMs: 10,
    stepPerSequenceMs: 0,
    stepPerContextTokenUs: 0,
    prefillTokensPerSecond: 1_000_000,
    ...overrides,
  });
}

/** POSTs JSON, or text as it is, and reads the whole reply. */
export async function post(
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, text: await response.text() };
}

/** POSTs JSON and gives the response as soon as its head is there, with a promise of all that follows. */
export async function openPost(
  url: string,
  body: unknown,
): Promise<{ response: IncomingMessage; rest: Promise<Rest> }> {
  const outgoing = request(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    agent: false,
  });
  outgoing.end(JSON.stringify(body));
  return new Promise((resolve, reject) => {
    outgoing.once('response', (response) => resolve({ response, rest: readAll(response) }));
    outgoing.once('error', reject);
  });
}

export interface Rest {
  readonly text: string;
  /** Whether the response ended as HTTP says, not with its connection. */
  readonly complete: boolean;
}

async function readAll(response: IncomingMessage): Promise<Rest> {
  let text = '';
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => (text += chunk));
  response.on('error', () => undefined);
  await new Promise((resolve) => response.once('close', resolve));
  return { text, complete: response.complete };
}

/** The data of each server-sent event. */
export function eventData(text: string): string[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length));
}

/** Waits until a condition holds, turn by turn of the event loop. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
}
