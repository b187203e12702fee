import { it } from '@jest/globals';
import { startGateway } from '../support/gateway.ts';
import { chatBody } from '../support/chat.ts';
import { startRequest, responseOf } from '../support/http-client.ts';
import { exchangeOf } from '../support/refusals.ts';
it('x', async () => {
  const gateway = await startGateway({ engines: 1, mode: 'attached', bootstrap: { accessLog: 'json' }, config: 'usage: {source: access-log}' });
  try {
    gateway.engines[0]!.setFault({ mode: 'drop-mid-stream' });
    const r = await responseOf(startRequest(gateway.port, { body: chatBody({ tokens: 50, stream: true }) }));
    await r.toArray().catch((e) => console.log(String(e)));
    const l = await gateway.line((l) => l['component'] === 'envoy.access');
    console.log(l.msg, await exchangeOf(gateway, r));
  } finally { await gateway.stop(); }
}, 20000);
