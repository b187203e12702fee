/** Names of HTTP headers. */
import { z } from 'zod';
import { shown } from '../describe-issue.ts';

/** What HTTP takes for the name of a header or a method (RFC 9110, 5.6.2). */
export const token = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

/** The name of a header; in lower case once parsed. */
export const headerName = z
  .string()
  .regex(token, { error: ({ input }) => `${shown(input)} is not the name of a header` })
  .transform((name) => name.toLowerCase());
