/** Envoys that somebody else configured, as gateways of tests. */
import { editBootstrap, fullDuplex, withoutAccessLog } from './edit-bootstrap.ts';
import type { GatewayOptions } from './gateway.ts';

/** Sends Sluice no access log: what becomes of responses is seen in their bodies. */
export const envoyWithoutAccessLog: GatewayOptions = {
  mode: 'attached',
  editBootstrap: editBootstrap((manager) => withoutAccessLog(manager)),
};

/** The same, and it sends bodies FULL_DUPLEX_STREAMED. */
export const fullDuplexEnvoy: GatewayOptions = {
  mode: 'attached',
  editBootstrap: editBootstrap((manager) => {
    fullDuplex(manager);
    withoutAccessLog(manager);
  }),
};
