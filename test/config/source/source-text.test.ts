import { describe, expect, it } from '@jest/globals';
import { unlessUnreadable } from '../../../src/config/source/source-text.ts';

describe('unlessUnreadable()', () => {
  it('gives back what is read', () => {
    expect(unlessUnreadable('f', () => 'text')).toBe('text');
  });

  // Tests may run as root, who is forbidden nothing.
  it.each([
    [
      Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' }),
      'there is no permission to read it (EACCES)',
    ],
    [Object.assign(new Error('EPERM'), { code: 'EPERM' }), 'there is no permission to read it (EPERM)'],
    [Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' }), 'Error: EIO: i/o error, read'],
  ])('says what %s means', (cause, why) => {
    let error: unknown;
    try {
      unlessUnreadable('/etc/config', () => {
        throw cause;
      });
    } catch (caught) {
      error = caught;
    }
    expect(error).toEqual(new Error(`Cannot read configuration "/etc/config": ${why}`));
    expect(error).toHaveProperty('cause', cause);
  });
});
