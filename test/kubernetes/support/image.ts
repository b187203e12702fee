/**
 * What the Dockerfile puts into the image, in a folder: where there is no engine to build an image, the files can be had
 * all the same. Its lines are followed as far as they are about files.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = path.resolve(import.meta.dirname, '../../..');

export interface Image {
  /** The root of its file system, without what the base image brings. */
  readonly folder: string;
  /** PATH of a container: the image's commands, Node, and the shell of the base image. */
  readonly path: string;
  /** The command that its containers run. */
  readonly entrypoint: readonly string[];
  /** `uid:gid`. */
  readonly user: string;
  remove(): Promise<void>;
}

/** Builds it; takes as long as the compiler. */
export async function buildImage(): Promise<Image> {
  const lines = instructions(await readFile(path.join(root, 'Dockerfile'), 'utf8'));
  const work = await mkdtemp(path.join(tmpdir(), 'sluice-image-'));
  const folder = path.join(work, 'image');
  try {
    const build = path.join(work, 'build');
    await copyContext(build);
    await symlink(path.join(root, 'node_modules'), path.join(build, 'node_modules'));
    await run('npm', ['run', '--silent', 'build'], { cwd: build });
    await rm(path.join(build, 'node_modules'));
    await copyProductionPackages(build);
    await layOut(lines.slice(lines.findLastIndex(({ name }) => name === 'FROM')), build, folder);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    throw error;
  }
  const last = (wanted: string): string => {
    const line = lines.findLast(({ name }) => name === wanted);
    if (line === undefined) throw new Error(`Cannot find ${wanted} in the Dockerfile`);
    return line.text;
  };
  return {
    folder,
    path: [path.join(folder, 'usr/local/bin'), path.dirname(process.execPath), '/usr/bin', '/bin'].join(':'),
    entrypoint: JSON.parse(last('ENTRYPOINT')) as string[],
    user: last('USER'),
    remove: () => rm(work, { recursive: true, force: true }),
  };
}

interface Instruction {
  readonly name: string;
  readonly text: string;
}

function instructions(dockerfile: string): Instruction[] {
  const joined = dockerfile.replace(/^#.*\n/gm, '').replace(/\\\n/g, ' ');
  return [...joined.matchAll(/^([A-Z]+) (.*)$/gm)].map(([, name, text]) => ({
    name: name!,
    text: text!.trim(),
  }));
}

/** The files that .dockerignore lets through: it names all that are. */
async function copyContext(to: string): Promise<void> {
  const ignore = await readFile(path.join(root, '.dockerignore'), 'utf8');
  for (const [, name] of ignore.matchAll(/^!(.+)$/gm))
    await cp(path.join(root, name!), path.join(to, name!), { recursive: true });
}

/** What `npm prune --omit=dev` leaves. */
async function copyProductionPackages(to: string): Promise<void> {
  const lock = await readFile(path.join(root, 'node_modules/.package-lock.json'), 'utf8');
  const { packages } = JSON.parse(lock) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  for (const [folder, { dev, devOptional }] of Object.entries(packages)) {
    const own = path.join(root, folder, 'node_modules');
    if (dev === true || devOptional === true || !existsSync(path.join(root, folder))) continue;
    await cp(path.join(root, folder), path.join(to, folder), {
      recursive: true,
      // Packages inside a package are in the list themselves, as far as they are needed.
      filter: (source) => source !== own,
    });
  }
}

/** COPY and `RUN ln -s` of the last stage. */
async function layOut(stage: readonly Instruction[], build: string, folder: string): Promise<void> {
  let workdir = '/';
  for (const { name, text } of stage) {
    if (name === 'WORKDIR') workdir = path.resolve(workdir, text);
    if (name === 'COPY') {
      const words = text.split(/\s+/).filter((word) => !word.startsWith('--'));
      const target = words.pop()!;
      for (const source of words) {
        const at = path.join(folder, path.resolve(workdir, target));
        const to = target.endsWith('/') ? path.join(at, path.basename(source)) : at;
        await cp(path.join(build, path.relative('/build', source)), to, { recursive: true });
      }
    }
    if (name === 'RUN')
      for (const [, target, link] of text.matchAll(/ln -s (\S+) (\S+)/g)) {
        await mkdir(path.dirname(path.join(folder, link!)), { recursive: true });
        await symlink(path.join(folder, target!), path.join(folder, link!));
      }
  }
}
