import { describe, expect, it } from '@jest/globals';
import { Histogram, formatNumber, renderPage } from '../../src/engine-sim/prometheus-page.ts';

describe('renderPage()', () => {
  it("writes what Python's client writes", () => {
    const latency = new Histogram([0.5, 1]);
    for (const value of [0.25, 0.5, 0.75, 3]) latency.observe(value);
    const page = renderPage(
      [
        {
          name: 'load',
          help: 'Load.',
          type: 'gauge',
          samples: [{ labels: { model_name: 'a"b\\c', engine: '0' }, value: 0.25 }],
        },
        { name: 'tokens_total', help: 'Tokens.', type: 'counter', samples: [{ labels: {}, value: 2 }] },
        {
          name: 'latency',
          help: 'Latency.',
          type: 'histogram',
          samples: [{ labels: { z: '1' }, value: latency }],
        },
      ],
      1_700_000_000.5,
    );
    expect(page).toBe(
      [
        '# HELP load Load.',
        '# TYPE load gauge',
        'load{engine="0",model_name="a\\"b\\\\c"} 0.25',
        '# HELP tokens_total Tokens.',
        '# TYPE tokens_total counter',
        'tokens_total 2.0',
        '# HELP tokens_created Tokens.',
        '# TYPE tokens_created gauge',
        'tokens_created 1.7000000005e+09',
        '# HELP latency Latency.',
        '# TYPE latency histogram',
        'latency_bucket{le="0.5",z="1"} 2.0',
        'latency_bucket{le="1.0",z="1"} 3.0',
        'latency_bucket{le="+Inf",z="1"} 4.0',
        'latency_count{z="1"} 4.0',
        'latency_sum{z="1"} 4.5',
        '# HELP latency_created Latency.',
        '# TYPE latency_created gauge',
        'latency_created{z="1"} 1.7000000005e+09',
        '',
      ].join('\n'),
    );
  });
});

describe('formatNumber()', () => {
  it.each([
    [0, '0.0'],
    [0.001, '0.001'],
    [123_456, '123456.0'],
    [1_000_000, '1e+06'],
    [1_234_567, '1.234567e+06'],
    [Infinity, '+Inf'],
  ])('writes %d as %s', (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });
});
