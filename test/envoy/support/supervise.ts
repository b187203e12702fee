/** A process of its own around a supervisor: prints Envoy's process id when it serves, and waits to be killed. */
import type { SocketAddress } from '../../../src/envoy/address.ts';
import { envoyBootstrap } from '../../../src/envoy/bootstrap.ts';
import { createEnvoySupervisor } from '../../../src/envoy/supervisor.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { FakeLog } from './fake-log.ts';

const [bin = '', port, grpcPort] = process.argv.slice(2);
const listen: SocketAddress = { kind: 'tcp', host: '127.0.0.1', port: Number(port) };
const supervisor = createEnvoySupervisor(
  { log: new FakeLog(), clock: systemClock, random: () => 0 },
  {
    bin,
    listen,
    concurrency: 1,
    bootstrap: (admin) =>
      envoyBootstrap({
        listen,
        admin,
        extProc: { kind: 'tcp', host: '127.0.0.1', port: Number(grpcPort) },
        engineTls: { kind: 'insecure' },
      }),
  },
);
await supervisor.start();
process.stdout.write(String(supervisor.pid));
