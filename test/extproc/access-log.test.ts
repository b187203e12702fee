import { describe, expect, it } from '@jest/globals';
import { createAccessLog, decodeAccessLog } from '../../src/extproc/access-log.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { encode } from '../support/proto.ts';

function struct(fields: Record<string, string | number>): object {
  return {
    fields: Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [
        key,
        typeof value === 'string' ? { stringValue: value } : { numberValue: value },
      ]),
    ),
  };
}

function message(...entries: object[]): Buffer {
  return encode('envoy.service.accesslog.v3.StreamAccessLogsMessage', {
    identifier: { node: { id: 'n' }, logName: 'sluice' },
    httpLogs: { logEntry: entries },
  });
}

function entry(exchange: string | undefined, flags: object = {}): object {
  return {
    commonProperties: {
      upstreamRemoteAddress: { socketAddress: { address: 'fd00::1', portValue: 8000 } },
      responseFlags: flags,
      duration: { seconds: 1, nanos: 500_000_000 },
      upstreamRequestAttemptCount: 2,
      metadata: {
        filterMetadata: {
          ...(exchange === undefined ? {} : { sluice: struct({ exchange, model: 'm' }) }),
          'sluice.usage': struct({ input_tokens: 7, output_tokens: 3 }),
          other: struct({ a: 'b' }),
        },
      },
    },
    response: { responseCode: { value: 200 }, responseBodyBytes: 123, responseCodeDetails: 'via_upstream' },
  };
}

describe('decodeAccessLog()', () => {
  it('reads who served, how it ended and what was used', () => {
    const seen: unknown[] = [];
    decodeAccessLog(
      message(entry('a'), entry(undefined, { downstreamConnectionTermination: true })),
      (id, read) => seen.push([id, read]),
    );
    expect(seen).toEqual([
      [
        'a',
        {
          status: 200,
          details: 'via_upstream',
          clientClosed: false,
          upstreamFailed: false,
          servedBy: '[fd00::1]:8000',
          attempts: 2,
          durationMs: 1500,
          responseBytes: 123,
          usage: { input_tokens: 7, output_tokens: 3 },
        },
      ],
      [undefined, expect.objectContaining({ clientClosed: true })],
    ]);
  });

  it.each([
    'upstreamRemoteReset',
    'upstreamConnectionFailure',
    'upstreamConnectionTermination',
    'noHealthyUpstream',
  ])('takes %s for a failure of the engine', (flag) => {
    decodeAccessLog(message(entry('a', { [flag]: true })), (_, read) =>
      expect(read.upstreamFailed).toBe(true),
    );
  });

  it('leaves what Envoy does not say empty', () => {
    decodeAccessLog(message({}), (id, read) => {
      expect(id).toBeUndefined();
      expect(read).toMatchObject({ status: 0, servedBy: undefined, usage: undefined, durationMs: undefined });
    });
    expect.assertions(2);
  });
});

describe('createAccessLog()', () => {
  function open(trusted = false) {
    const clock = new FakeClock();
    const results: string[] = [];
    const log = createAccessLog(
      { clock },
      { timeoutMs: 2000, trusted, onEntry: (result) => results.push(result) },
    );
    return { clock, results, log };
  }

  it('gives an exchange its own entry, whether it came before or after it was asked for', async () => {
    const { log, results } = open();
    const before = log.claim('a');
    const after = log.claim('b');
    log.receive(message(entry('a')));
    expect((await before.entry())?.status).toBe(200);
    const waiting = after.entry();
    log.receive(message(entry('b')));
    expect((await waiting)?.attempts).toBe(2);
    expect(results).toEqual(['matched', 'matched']);
  });

  it('gives up after the timeout and is not reliable then', async () => {
    const { log, clock, results } = open();
    log.claim('a').abandon();
    log.receive(message(entry('a')));
    expect(log.reliable).toBe(true);
    const waiting = log.claim('b').entry();
    clock.advance(3000);
    expect(await waiting).toBeUndefined();
    expect(log.reliable).toBe(false);
    expect(results).toEqual(['matched', 'missed']);
    expect(clock.pending).toBe(0);
  });

  it('becomes reliable by entries that nobody asked for', () => {
    const { log } = open();
    expect(log.reliable).toBe(false);
    log.claim('a').abandon();
    log.receive(message(entry('a')));
    expect(log.reliable).toBe(true);
  });

  it('is reliable from the start, and stays so, where we configured Envoy', () => {
    const { log, clock } = open(true);
    log.claim('a').abandon();
    clock.advance(3000);
    expect(log.reliable).toBe(true);
  });

  it('counts entries of requests that are not ours', () => {
    const { log, results } = open();
    log.receive(message(entry('stranger'), entry(undefined)));
    expect(results).toEqual(['unmatched', 'unmatched']);
  });

  it('lets everybody go at the end', async () => {
    const { log, clock } = open();
    const waiting = log.claim('a').entry();
    log.stop();
    expect(await waiting).toBeUndefined();
    expect(clock.pending).toBe(0);
  });
});
