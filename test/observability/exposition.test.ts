import { describe, expect, it } from '@jest/globals';
import { exposition } from '../../src/observability/exposition.ts';

describe('exposition()', () => {
  it('writes families one after another, those without samples too', () => {
    expect(
      exposition([
        { name: 'up', type: 'gauge', help: 'Whether it is up.', samples: [{ labels: {}, value: 0.5 }] },
        { name: 'none', type: 'counter', help: 'Nothing.', samples: [] },
        {
          name: 'took',
          type: 'histogram',
          help: 'Seconds.',
          samples: [{ suffix: '_sum', labels: { a: '1', b: '2' }, value: 3 }],
        },
      ]),
    ).toBe(
      `# HELP up Whether it is up.
# TYPE up gauge
up 0.5
# HELP none Nothing.
# TYPE none counter
# HELP took Seconds.
# TYPE took histogram
took_sum{a="1",b="2"} 3
`,
    );
  });

  it('escapes what a label may hold', () => {
    const samples = [{ labels: { model: 'a"b\\c\nd' }, value: 1 }];
    expect(exposition([{ name: 'x', type: 'gauge', help: 'X.', samples }])).toContain(
      'x{model="a\\"b\\\\c\\nd"} 1\n',
    );
  });
});
