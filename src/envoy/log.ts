/** What this part asks of a log; pino's logger is one. */

type Write = (fields: object, message: string) => void;

export interface EnvoyLog {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
}
