import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { issuer, sign, signingKey, type SigningKey } from '../auth/support/tokens.ts';
import { editBootstrap, fullDuplex } from '../support/edit-bootstrap.ts';
import { downloadTimeoutMs, testedEnvoyVersions } from '../support/envoy.ts';
import { startExchangeRig, type ExchangeRig } from '../support/exchange-rig.ts';
import { send } from '../support/http-client.ts';
import { jwtNamespace, withJwtAuthn, type JwtAuthn } from '../support/with-jwt-authn.ts';

const claims = {
  iss: issuer,
  sub: 'ann',
  // A day in the year 2100: Envoy has a clock of its own.
  exp: 4_102_444_800,
  groups: ['a', 'b'],
  realm_access: { roles: ['ü'], admin: false, limit: null },
};

let key: SigningKey;
let rig: ExchangeRig | undefined;
beforeAll(async () => {
  key = await signingKey('key-1', 'RS256');
});
afterEach(async () => {
  await rig?.stop();
  rig = undefined;
});

async function start(more: Partial<JwtAuthn> = {}, envoyVersion?: string, duplex = false) {
  rig = await startExchangeRig({
    ...(envoyVersion === undefined ? {} : { envoyVersion }),
    editBootstrap: editBootstrap((manager) => {
      if (duplex) fullDuplex(manager);
      withJwtAuthn(manager, { issuer, keys: [key.jwk], ...more });
    }),
  });
  return rig;
}

function ask({ port }: ExchangeRig, token?: string) {
  const bearer = token === undefined ? [] : [['authorization', `Bearer ${token}`] as const];
  return send(port, { headers: [['content-type', 'application/json'], ...bearer], body: '{}' });
}

describe("what Envoy's jwt_authn verified", () => {
  it.each(testedEnvoyVersions)(
    'is told by Envoy %s as the metadata of the head',
    async (version) => {
      const at = await start({}, version);
      expect(await ask(at, await sign(key, claims))).toMatchObject({ status: 200 });
      const [head] = at.heads;
      expect(head?.metadata(jwtNamespace)).toEqual({ payload: claims });
      expect(head?.metadata('envoy.lb')).toBeUndefined();
      // Envoy takes the token away, so that metadata is all there is to go by.
      expect(head?.headers.get('authorization')).toBeUndefined();
    },
    downloadTimeoutMs,
  );

  it('is told in full duplex as well, with the token beside it where it is kept', async () => {
    const at = await start({ payloadKey: 'verified', keepsToken: true }, undefined, true);
    const token = await sign(key, claims);
    expect(await ask(at, token)).toMatchObject({ status: 200 });
    expect(at.heads[0]?.metadata(jwtNamespace)).toEqual({ verified: claims });
    expect(at.heads[0]?.headers.get('authorization')).toBe(`Bearer ${token}`);
  });

  it('is not told where nobody had Envoy forward it', async () => {
    const at = await start({ forwarded: false });
    expect(await ask(at, await sign(key, claims))).toMatchObject({ status: 200 });
    expect(at.heads[0]?.metadata(jwtNamespace)).toBeUndefined();
  });

  it('is nothing for a request without a token, where that passes', async () => {
    const at = await start({ optional: true });
    expect(await ask(at)).toMatchObject({ status: 200 });
    expect(at.heads[0]?.metadata(jwtNamespace)).toBeUndefined();
  });

  it("is nothing for a browser's preflight, which has no token", async () => {
    const at = await start();
    const headers = [
      ['origin', 'https://app.example.com'],
      ['access-control-request-method', 'POST'],
    ] as const;
    expect(await send(at.port, { method: 'OPTIONS', headers })).toMatchObject({ status: 200 });
    expect(at.heads[0]?.metadata(jwtNamespace)).toBeUndefined();
  });

  it('is never a forged token, nor none: those do not come as far as Sluice', async () => {
    const at = await start();
    const forger = await signingKey('key-1', 'RS256');
    expect(await ask(at)).toMatchObject({ status: 401 });
    expect(await ask(at, await sign(forger, claims))).toMatchObject({ status: 401 });
    expect(at.heads).toEqual([]);
  });
});
