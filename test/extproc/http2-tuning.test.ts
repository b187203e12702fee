import { afterEach, describe, expect, it } from '@jest/globals';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { constants } from 'node:http2';
import { http2Servers, tuneAfterBind, tuneBeforeBind } from '../../src/extproc/http2-tuning.ts';
import { GrpcWire } from '../support/grpc-wire.ts';

let server: Server;
let wire: GrpcWire;

afterEach(async () => {
  await wire.close();
  server.forceShutdown();
});

async function start(tuned: boolean): Promise<void> {
  server = new Server();
  if (tuned) tuneBeforeBind(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (tuned) http2Servers(server).forEach(tuneAfterBind);
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  wire = new GrpcWire(port);
  await wire.ping();
}

/** Opens and resets streams until the session ends or the count is reached; true where it lives on. */
async function survives(resets: number): Promise<boolean> {
  for (let done = 0; done < resets && !wire.session.closed && !wire.session.destroyed; done += 50) {
    for (let i = 0; i < 50; i++) wire.open().stream.close(constants.NGHTTP2_CANCEL);
    try {
      await wire.ping();
    } catch {
      return false;
    }
  }
  return !wire.session.closed && !wire.session.destroyed;
}

describe('tuneBeforeBind()', () => {
  it('lets a connection live through thousands of resets', async () => {
    await start(true);
    expect(await survives(5000)).toBe(true);
  });

  it('is needed for that: as it is, the server drops the connection', async () => {
    await start(false);
    expect(await survives(5000)).toBe(false);
  });

  it('opens the window of each stream', async () => {
    await start(true);
    expect(wire.session.remoteSettings.initialWindowSize).toBe(4 * 1024 * 1024);
  });

  it('says so where grpc-js has changed', async () => {
    await start(true);
    const other = Object.create(Server.prototype) as Server;
    expect(() => tuneBeforeBind(other)).toThrow(
      'Cannot tune the gRPC server for Envoy: this version of @grpc/grpc-js has other internals than 1.14',
    );
  });
});

describe('tuneAfterBind()', () => {
  it('opens the window of the session', async () => {
    await start(true);
    await wire.ping();
    expect(wire.session.state.remoteWindowSize).toBe(32 * 1024 * 1024);
  });
});
