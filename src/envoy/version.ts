/** Versions of Envoy: which one Sluice brings, and how two compare. */

export interface EnvoyVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/** The version that `sluice install-envoy` installs and the whole test suite runs on. */
export const managedEnvoyVersion: EnvoyVersion = { major: 1, minor: 40, patch: 0 };

/** The oldest version whose bootstrap passes Envoy's own validation. */
export const oldestEnvoyVersion: EnvoyVersion = { major: 1, minor: 36, patch: 0 };

/** @throws Error unless the text is `x.y.z` or `x.y`. */
export function parseEnvoyVersion(text: string): EnvoyVersion {
  const match = /^v?(\d+)\.(\d+)(?:\.(\d+))?$/.exec(text.trim());
  if (match === null)
    throw new Error(`Cannot read Envoy version "${text}": expected three numbers, like 1.40.0`);
  return { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3] ?? 0) };
}

/** `x.y.z`. */
export function formatEnvoyVersion({ major, minor, patch }: EnvoyVersion): string {
  return `${major}.${minor}.${patch}`;
}

/** Whether the version is `major.minor` or later. */
export function atLeast(version: EnvoyVersion, major: number, minor: number): boolean {
  return version.major > major || (version.major === major && version.minor >= minor);
}
