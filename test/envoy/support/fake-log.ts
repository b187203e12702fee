/** A log that keeps its entries, and lets a test wait for one. */
import type { EnvoyLog } from '../../../src/envoy/log.ts';

export interface LogEntry {
  readonly level: keyof EnvoyLog;
  readonly fields: object;
  readonly message: string;
}

export class FakeLog implements EnvoyLog {
  readonly entries: LogEntry[] = [];
  readonly #waiting = new Set<() => void>();

  readonly debug = this.#writer('debug');
  readonly info = this.#writer('info');
  readonly warn = this.#writer('warn');
  readonly error = this.#writer('error');

  /** Messages of one level, in order. */
  messages(level: keyof EnvoyLog): string[] {
    return this.entries.filter((entry) => entry.level === level).map(({ message }) => message);
  }

  /** Resolves with the first entry, past or future, whose message contains the text. */
  async waitFor(text: string): Promise<LogEntry> {
    for (;;) {
      const found = this.entries.find(({ message }) => message.includes(text));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  #writer(level: keyof EnvoyLog): (fields: object, message: string) => void {
    return (fields, message) => {
      this.entries.push({ level, fields, message });
      for (const resolve of this.#waiting) resolve();
      this.#waiting.clear();
    };
  }
}
