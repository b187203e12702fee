import { describe, expect, it } from '@jest/globals';
import { anonymous, type Principal } from '../../src/auth/principal.ts';
import { createIdLabel, createSubjectLabel } from '../../src/observability/subject-label.ts';

const user = (subject: string, issuer = 'https://issuer.example'): Principal => ({
  kind: 'user',
  id: `user:${JSON.stringify([issuer, subject])}`,
  issuer,
  subject,
  groups: [],
  tier: undefined,
  claims: {},
});

const own = Buffer.from('own');

describe('createSubjectLabel()', () => {
  it('names the same caller by the same word, and others by others', () => {
    const label = createSubjectLabel({ subjects: 'hashed' }, own);
    expect(label(user('ada'))).toMatch(/^[\w-]{12}$/);
    expect(label(user('ada'))).toBe(label(user('ada')));
    expect(label(user('ada'))).not.toBe(label(user('bob')));
    expect(label(user('ada'))).not.toBe(label(user('ada', 'https://other.example')));
  });

  it('agrees with another process only where both have the secret', () => {
    const [one, other] = [own, Buffer.from('other')].map((secret) =>
      createSubjectLabel({ subjects: 'hashed' }, secret),
    );
    expect(one!(user('ada'))).not.toBe(other!(user('ada')));
    const shared = { subjects: 'hashed', subjectSecret: 's' } as const;
    expect(createSubjectLabel(shared, own)(user('ada'))).toBe(
      createSubjectLabel(shared, Buffer.from('other'))(user('ada')),
    );
  });

  it('names subjects, or nobody, where it is asked to', () => {
    expect(createSubjectLabel({ subjects: 'plain' }, own)(user('ada'))).toBe('ada');
    expect(createSubjectLabel({ subjects: 'none' }, own)(user('ada'))).toBeUndefined();
  });

  it.each(['hashed', 'plain', 'none'] as const)('has no name for what everybody is, with %s', (subjects) => {
    expect(createSubjectLabel({ subjects }, own)(anonymous)).toBeUndefined();
  });
});

describe('createIdLabel()', () => {
  it('names a principal as its log lines do', () => {
    const ada = user('ada');
    expect(createIdLabel({ subjects: 'hashed' }, own)(ada.id)).toBe(
      createSubjectLabel({ subjects: 'hashed' }, own)(ada),
    );
    expect(createIdLabel({ subjects: 'hashed' }, own)(anonymous.id)).toBe('anonymous');
    expect(createIdLabel({ subjects: 'plain' }, own)(ada.id)).toBe(ada.id);
    expect(createIdLabel({ subjects: 'none' }, own)(ada.id)).toBeUndefined();
  });
});
