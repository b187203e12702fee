/** CPU time to the nanosecond, for processes that do too little to be measured in steps of 10 ms. */
import { readdirSync, readFileSync } from 'node:fs';

/** CPU time of all threads that a process has now, in microseconds. Threads that ended are not in it. */
export function threadCpuMicroseconds(pid: number): number {
  return readdirSync(`/proc/${pid}/task`)
    .map((thread) => nanoseconds(`/proc/${pid}/task/${thread}/schedstat`))
    .reduce((sum, used) => sum + used / 1000, 0);
}

/** A thread may end between the list and the look at it. */
function nanoseconds(file: string): number {
  try {
    return Number(readFileSync(file, 'latin1').split(' ', 1)[0]);
  } catch {
    return 0;
  }
}
