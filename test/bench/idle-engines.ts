/** Engines that have nothing to do, in one process: vLLM's metric names, one model, no generation. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { startModule, type Child, type Children } from './children.ts';

export interface IdleEngines {
  /** As `--static-backends` takes them. */
  readonly urls: readonly string[];
  readonly child: Child;
}

/** Starts engines on free ports of 127.0.0.1, in a child process. */
export async function startIdleEngines(
  children: Children,
  count: number,
  core?: number,
): Promise<IdleEngines> {
  const options = { name: `engines-${count}`, core };
  const { child, message } = await startModule(children, import.meta.filename, { count }, options);
  const ports = message as readonly number[];
  return { urls: ports.map((port) => `http://127.0.0.1:${port}`), child };
}

/** What an engine's metrics page says here and through Envoy alike. */
export const idleMetricsPage = [
  '# TYPE vllm:num_requests_running gauge',
  'vllm:num_requests_running{engine="0",model_name="m"} 3',
  '# TYPE vllm:num_requests_waiting gauge',
  'vllm:num_requests_waiting{engine="0",model_name="m"} 0',
  '# TYPE vllm:kv_cache_usage_perc gauge',
  'vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25',
  '# TYPE vllm:cache_config_info gauge',
  'vllm:cache_config_info{block_size="16",num_gpu_blocks="8192",engine="0"} 1',
  '# TYPE vllm:lora_requests_info gauge',
  'vllm:lora_requests_info{max_lora="0",running_lora_adapters="",waiting_lora_adapters=""} 1',
  '',
].join('\n');

export const modelsPage = JSON.stringify({ object: 'list', data: [{ id: 'm', object: 'model' }] });

async function serve(count: number): Promise<number[]> {
  const pages: Readonly<Record<string, string>> = {
    '/metrics': idleMetricsPage,
    '/v1/models': modelsPage,
    '/health': '',
  };
  const ports: number[] = [];
  for (let i = 0; i < count; i++) {
    const server = createServer((request, response) => {
      const page = pages[request.url ?? ''];
      response.writeHead(page === undefined ? 404 : 200).end(page);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    ports.push((server.address() as AddressInfo).port);
  }
  return ports;
}

if (import.meta.main) {
  const { count } = JSON.parse(process.argv[2]!) as { count: number };
  process.on('disconnect', () => process.exit());
  process.send!(await serve(count));
}
