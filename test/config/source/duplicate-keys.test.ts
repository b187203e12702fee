import { describe, expect, it } from '@jest/globals';
import { parseConfigSource } from '../../../src/config/source/config-source.ts';
import { faultsIn } from './faults-of.ts';

describe('parseConfigSource() of a header that is printed twice', () => {
  const header = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\n';
  const data = 'data:\n  sluice.yaml: "a: 1"\n';

  it('takes it where both say the same', () => {
    expect(parseConfigSource(`${header}${header}${data}`, 'f').root).toEqual({ a: 1 });
    expect(parseConfigSource(`${header}${header}${header}${data}`, 'f').root).toEqual({ a: 1 });
  });

  it.each<[string, string, unknown[]]>([
    [
      'says different things',
      `${header}${header.replace('name: c', 'name: d')}${data}`,
      ['7:1 metadata: is written a second time; the first is in line 3'],
    ],
    [
      'is another field',
      `${header}${data}${data}`,
      ['7:1 data: is written a second time; the first is in line 5'],
    ],
    [
      'is no header',
      'metadata: {}\nmetadata: {}',
      ['2:1 metadata: is written a second time; the first is in line 1'],
    ],
    [
      'is deeper down',
      `${header}${data}x:\n  kind: a\n  kind: a\n`,
      ['9:3 x.kind: is written a second time; the first is in line 8'],
    ],
  ])('refuses it where it %s', (_, text, faults) => {
    expect(faultsIn(text)).toEqual(faults);
  });
});
