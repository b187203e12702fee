/** The `cors` section. */
import { z } from 'zod';
import type { CorsOptions } from '../../auth/cors.ts';
import { shown } from '../describe-issue.ts';
import { duration } from '../units.ts';
import { token } from './header-name.ts';

const origin = z
  .string()
  .transform((text) => text.toLowerCase())
  .refine(isOrigin, {
    error: ({ input }) =>
      `${shown(input)} is not an origin: write it like https://app.example.com, https://*.example.com or "*", without a path`,
  });

const headerOrMethod = z.string().regex(token, {
  error: ({ input }) => `${shown(input)} is not the name of a header or a method`,
});

/** Which web pages may call, from a browser. */
export const corsSection = z
  .strictObject({
    origins: z
      .array(origin)
      .default([])
      .describe(
        'Origins whose pages may call: each like https://app.example.com, https://*.example.com for all hosts below a domain, or "*" for all.',
      ),
    methods: z.array(headerOrMethod).default(['GET', 'POST']).describe('Methods that pages may use.'),
    headers: z
      .array(headerOrMethod)
      .default(['*'])
      .describe('Request headers that pages may send; "*" for whatever they ask for.'),
    exposedHeaders: z
      .array(headerOrMethod)
      .default(['x-request-id', 'retry-after'])
      .describe('Response headers that pages may read.'),
    maxAge: duration({ zero: true })
      .default(600_000)
      .describe('How long browsers remember what they were told.'),
    credentials: z
      .boolean()
      .default(false)
      .describe('Whether pages may send cookies; not for the origin "*".'),
  })
  .refine(({ origins, credentials }) => !(credentials && origins.includes('*')), {
    path: ['credentials'],
    error: 'credentials are not for the origin "*": list the origins whose pages may send them',
  })
  .transform(({ maxAge, ...rest }): CorsOptions => ({ ...rest, maxAgeMs: maxAge }));

/** A scheme and a host, as browsers send them; extensions and desktop shells have schemes of their own. */
function isOrigin(text: string): boolean {
  return (
    text === '*' ||
    /^[a-z][a-z0-9+.-]*:\/\/(\*\.)?([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:\d{1,5})?$/.test(text)
  );
}
