/** How this process is doing: CPU, memory, file descriptors and the delay of its event loop. */
import { readdir } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, type Registry } from 'prom-client';

const delayResolutionMs = 20;
const quantiles = [0.5, 0.9, 0.99, 1] as const;

/**
 * Registers the `process_*`, `nodejs_*` and event loop series; call the result to end the measuring. Not prom-client's
 * own default set: its observer of garbage collections runs code for every one of them, thousands a second under load.
 */
export function registerProcessMetrics(registry: Registry, prefix: string): () => void {
  const registers = [registry];
  let countedCpuSeconds = 0;
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'User and system CPU time spent by this process, in seconds.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      const seconds = (user + system) / 1e6;
      this.inc(seconds - countedCpuSeconds);
      countedCpuSeconds = seconds;
    },
  });
  new Gauge({
    name: 'process_start_time_seconds',
    help: 'When this process started, in seconds since the Unix epoch.',
    registers,
  }).set(Math.round(performance.timeOrigin / 1000));
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Memory of this process that is in RAM.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Gauge({
    name: 'nodejs_heap_size_bytes',
    help: 'JavaScript heap: used, reserved, and memory outside of it that the heap holds on to.',
    labelNames: ['kind'],
    registers,
    collect() {
      const { heapUsed, heapTotal, external } = process.memoryUsage();
      this.set({ kind: 'used' }, heapUsed);
      this.set({ kind: 'total' }, heapTotal);
      this.set({ kind: 'external' }, external);
    },
  });
  new Gauge({
    name: 'process_open_fds',
    help: 'Open file descriptors, where the system tells.',
    registers,
    async collect() {
      const open = await readdir('/proc/self/fd').catch(() => undefined);
      if (open === undefined) this.reset();
      else this.set(open.length);
    },
  });
  return registerEventLoopDelay(registry, prefix);
}

function registerEventLoopDelay(registry: Registry, prefix: string): () => void {
  const delay = monitorEventLoopDelay({ resolution: delayResolutionMs });
  delay.enable();
  new Gauge({
    name: `${prefix}event_loop_delay_seconds`,
    help: 'How late timers fired since the last collection of these metrics.',
    labelNames: ['quantile'],
    registers: [registry],
    collect() {
      for (const quantile of quantiles) {
        // The histogram holds whole periods of its own timer: what exceeds the period is the delay.
        const periodMs = delay.count === 0 ? 0 : delay.percentile(quantile * 100) / 1e6;
        this.set({ quantile: String(quantile) }, Math.max(0, periodMs - delayResolutionMs) / 1000);
      }
      delay.reset();
    },
  });
  return () => void delay.disable();
}
