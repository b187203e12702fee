/** A thousand pods at once. */
import type { Admin } from './admin.ts';
import { createReadyPod } from './pods.ts';

const atATime = 16;

/** Names and addresses, which are all different. */
export interface NumberedPod {
  readonly name: string;
  readonly ip: string;
}

/** The pods from number `from` to before `to`. */
export function numberedPods(from: number, to: number): readonly NumberedPod[] {
  return Array.from({ length: to - from }, (_, i) => {
    const number = from + i;
    return { name: `engine-${number}`, ip: `10.1.${number >> 8}.${number & 255}` };
  });
}

/** Does something for every item, some of them at a time. */
export async function forEach<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  const worker = async (): Promise<void> => {
    for (let item = left.pop(); item !== undefined; item = left.pop()) await run(item);
  };
  await Promise.all(Array.from({ length: atATime }, worker));
}

/** Creates pods that requests may go to, with the label `app=vllm`. */
export async function createReadyPods(
  admin: Admin,
  namespace: string,
  pods: readonly NumberedPod[],
): Promise<void> {
  await forEach(pods, ({ name, ip }) =>
    createReadyPod(admin, namespace, name, ip, { labels: { app: 'vllm', 'pod-template-hash': '7d9c8b' } }),
  );
}
