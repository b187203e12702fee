/** Durations and sizes back in the form in which people write them. */
import { z } from 'zod';
import { writtenSchema } from '../fields-at.ts';
import { duration, size } from '../units.ts';

/** What a string or number of a field measures. */
export type Unit = 'duration' | 'size';

const samples: Readonly<Record<Unit, readonly string[]>> = {
  duration: ['1ms', '1s', '1m', '1h'],
  size: ['1B', '1KiB', '1MiB', '1GiB'],
};

const word = 'a';

/** What a field measures; undefined where it is neither a duration nor a size. Found out by asking what it accepts. */
export function unitOf(schema: z.core.$ZodType): Unit | undefined {
  const written = writtenSchema(schema);
  if (!(written instanceof z.ZodUnion)) return undefined;
  const accepts = (sample: string): boolean => z.safeParse(schema, sample).success;
  // Whoever takes any word may take these for names.
  if (accepts(word)) return undefined;
  if (!samples.duration.some(accepts)) return samples.size.some(accepts) ? 'size' : undefined;
  return samples.size.some(accepts) ? undefined : 'duration';
}

/** A written duration or size in the shortest usual form, e.g. `90` → `1m30s`; undefined where it is neither. */
export function inUsualForm(unit: Unit, written: unknown): string | undefined {
  switch (unit) {
    case 'duration': {
      const ms = duration({ zero: true }).safeParse(written).data;
      return ms === undefined ? undefined : formatDuration(ms);
    }
    case 'size': {
      const bytes = size().safeParse(written).data;
      return bytes === undefined ? undefined : formatSize(bytes);
    }
  }
}

/** Milliseconds as `250ms`, `1.5s`, `1m30s`, `2h`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  if (ms < 1000) return `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor(ms / 60_000) % 60;
  // To the microsecond: anything below is an artefact of the division.
  const seconds = Math.round((ms % 60_000) * 1000) / 1_000_000;
  return [
    hours > 0 ? `${hours}h` : '',
    minutes > 0 ? `${minutes}m` : '',
    seconds > 0 ? `${seconds}s` : '',
  ].join('');
}

/** Bytes as `16MiB`, `500KB`, `1000001B`: in the greatest unit in which they are a whole number. */
export function formatSize(bytes: number): string {
  for (const power of [3, 2, 1]) {
    for (const base of [1024, 1000]) {
      const inUnit = bytes / base ** power;
      if (inUnit >= 1 && Number.isInteger(inUnit))
        return `${inUnit}${'KMG'.charAt(power - 1)}${base === 1024 ? 'iB' : 'B'}`;
    }
  }
  return `${bytes}B`;
}
