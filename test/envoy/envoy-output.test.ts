import { describe, expect, it } from '@jest/globals';
import { parseEnvoyLine, tellingLine } from '../../src/envoy/envoy-output.ts';

describe('parseEnvoyLine()', () => {
  it.each([
    ['[info][main] starting', { level: 'info', component: 'main', message: 'starting' }],
    ['[warning][config] a\\nb', { level: 'warn', component: 'config', message: 'a b' }],
    ['[critical][main] it\\\'s \\"over\\"', { level: 'error', component: 'main', message: 'it\'s "over"' }],
    ['[trace][http] x', { level: 'debug', component: 'http', message: 'x' }],
    ['[error][main] [source/server/server.cc:1] why', { level: 'error', component: 'main', message: 'why' }],
    ['Segmentation fault', { level: 'error', component: 'process', message: 'Segmentation fault' }],
  ])('reads %s', (line, expected) => {
    expect(parseEnvoyLine(line)).toEqual(expected);
  });

  it('keeps warnings about our own choices from the operator', () => {
    expect(
      parseEnvoyLine("[warning][misc] message \\'a.B\\' is marked as work-in-progress. Do not"),
    ).toMatchObject({
      level: 'debug',
    });
  });
});

describe('tellingLine()', () => {
  const lines = (...texts: string[]) => texts.map(parseEnvoyLine);

  it('says which address could not be had', () => {
    expect(
      tellingLine(
        lines(
          "[error][config] listener \\'sluice\\' failed to bind or apply socket options: cannot bind \\'0.0.0.0:8001\\': Address already in use",
          '[critical][main] error initializing configuration',
        ),
      ),
    ).toBe('Cannot listen on 0.0.0.0:8001: address already in use');
  });

  it('prefers the reason to what follows from it', () => {
    expect(
      tellingLine(
        lines('[critical][main] error initializing configuration: no such field', '[error][main] exiting'),
      ),
    ).toBe('error initializing configuration: no such field');
  });

  it('takes the last error where none is known', () => {
    expect(tellingLine(lines('[error][a] first', '[error][b] last', '[warning][c] not this'))).toBe('last');
  });

  it('says nothing where Envoy said nothing', () => {
    expect(tellingLine(lines('[warning][main] hm'))).toBeUndefined();
  });
});
