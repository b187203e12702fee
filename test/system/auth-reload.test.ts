import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ask, bearer, expectUnauthorized, get, isRefused, statusFor } from '../support/callers.ts';
import { startGateway, type Gateway } from '../support/gateway.ts';
import { startIssuer, type Issuer } from '../support/issuer.ts';
import { sample } from '../support/pages.ts';
import { exchangeOf } from '../support/refusals.ts';

let one: Issuer;
let other: Issuer;
let folder: string;
let file: string;
let gateway: Gateway;
beforeAll(async () => {
  one = await startIssuer({ name: 'https://one.issuer.example' });
  other = await startIssuer({ name: 'https://other.issuer.example' });
  folder = await mkdtemp(path.join(tmpdir(), 'sluice-test-'));
  file = path.join(folder, 'sluice.yaml');
  await writeFile(file, JSON.stringify({ log }));
  gateway = await startGateway({ engines: [{ requestLogSize: 10_000 }], configFile: file });
}, 60_000);
afterAll(async () => {
  await gateway.stop();
  await Promise.all([one.stop(), other.stop()]);
  await rm(folder, { recursive: true });
});

/** Log lines at every level: a configuration sets it anew. */
const log = { level: 'debug', subjects: 'plain' };

/** Puts a configuration in the place of the old one; resolves when it is in effect, or refused. */
async function change(config: object): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify({ log, ...config }));
  await rename(`${file}.new`, file);
  await gateway.app.reload();
}

interface HealthPage {
  readonly status: string;
  readonly config: { readonly lastReloadSuccessful: boolean; readonly refused: readonly string[] };
  readonly auth: { readonly providers: readonly { readonly issuer: string }[] };
}

const health = async (): Promise<HealthPage> => (await gateway.admin('/health')) as HealthPage;

describe('a configuration with', () => {
  it('an auth section protects a gateway that was open, from the next request on', async () => {
    await change({});
    expect(await ask(gateway, [])).toMatchObject({ status: 200 });
    await change({ auth: one.section });
    await expectUnauthorized(gateway, await ask(gateway, []), 'missing');
    await expectUnauthorized(gateway, await get(gateway, '/v1/models'), 'missing');
    expect(await statusFor(gateway, await one.signed())).toBe(200);
    await gateway.line(({ msg }) => msg === `The keys of ${one.name} are new: 1`);

    await change({ auth: {} });
    expect(await ask(gateway, [])).toMatchObject({ status: 200 });
  });

  it('another auth section, and another, lets no stranger in meanwhile', async () => {
    await change({ auth: one.section });
    const token = await one.signed();
    const statuses = new Map<string, number>();
    let over = false;
    const client = async (name: string, headers: Parameters<typeof ask>[1]): Promise<void> => {
      while (!over) {
        const { status } = await ask(gateway, headers);
        statuses.set(`${name} ${status}`, (statuses.get(`${name} ${status}`) ?? 0) + 1);
      }
    };
    const clients = Promise.all([
      client('stranger', []),
      client('ann', bearer(token)),
      client('ann', bearer(token)),
    ]);
    for (let i = 0; i < 20; i++) await change({ auth: { ...one.section, clockTolerance: `${i + 1}s` } });
    over = true;
    await clients;
    expect([...statuses.keys()].sort()).toEqual(['ann 200', 'stranger 401']);
  });

  it('another issuer makes the tokens of the old one worthless', async () => {
    await change({ auth: one.section });
    const old = await one.signed();
    expect(await statusFor(gateway, old)).toBe(200);
    await change({ auth: other.section });
    await isRefused(gateway, 'unknown-issuer', () => ask(gateway, bearer(old)));
    expect(await statusFor(gateway, await other.signed())).toBe(200);
    expect((await health()).auth.providers).toEqual([expect.objectContaining({ issuer: other.name })]);
  });

  it('another audience makes tokens worthless that were accepted before', async () => {
    await change({ auth: one.section });
    const token = await one.signed();
    expect(await statusFor(gateway, token)).toBe(200);
    await change({ auth: { ...one.section, audiences: ['another'] } });
    await isRefused(gateway, 'wrong-audience', () => ask(gateway, bearer(token)));
  });

  const outages: readonly [name: string, problem: string, begin: () => unknown, end: () => unknown][] = [
    ['is down', 'ECONNREFUSED', () => other.goDown(), () => other.comeUp()],
    ['has no keys', '404', () => other.answer({ status: 404, body: '' }), () => other.publish(other.key)],
  ];
  it.each(outages)(
    'an issuer that %s is refused, and the old one stays',
    async (_, problem, begin, end) => {
      await change({ auth: one.section });
      const token = await one.signed();
      await begin();
      await change({ auth: other.section, models: { aliases: { n: 'm' } } });

      const { status, config, auth } = await health();
      expect(status).toBe('healthy');
      expect(config.lastReloadSuccessful).toBe(false);
      expect(config.refused).toEqual([
        expect.stringMatching(
          new RegExp(
            `^Cannot take over the auth section: the keys of "${other.name}" were never fetched: .*${problem}`,
          ),
        ),
      ]);
      expect(auth.providers).toEqual([expect.objectContaining({ issuer: one.name })]);
      expect(await sample(gateway, 'sluice_config_last_reload_successful')).toBe(0);
      expect(await statusFor(gateway, token)).toBe(200);
      expect(await statusFor(gateway, await one.signed({ sub: 'bob' }))).toBe(200);
      await isRefused(gateway, 'unknown-issuer', async () => ask(gateway, bearer(await other.signed())));
      // Refused whole.
      expect(await get(gateway, '/v1/models/n', bearer(token))).toMatchObject({ status: 404 });

      await end();
      await gateway.app.reload();
      expect((await health()).config).toMatchObject({ lastReloadSuccessful: true, refused: [] });
      expect(await statusFor(gateway, await other.signed())).toBe(200);
      expect(await get(gateway, '/v1/models/n', bearer(await other.signed()))).toMatchObject({ status: 200 });
    },
    60_000,
  );

  it('a mistake in its auth section leaves the gateway protected', async () => {
    await change({ auth: one.section });
    await change({ auth: { jwksUri: one.section.jwksUri } });
    expect((await health()).config.refused).toEqual([expect.stringContaining('issuer')]);
    await expectUnauthorized(gateway, await ask(gateway, []), 'missing');
    expect(await statusFor(gateway, await one.signed())).toBe(200);
  });

  it('other models for a group asks nobody for keys, and forgets no token', async () => {
    const models = { '*': ['m'] };
    await change({ auth: { ...one.section, models } });
    const token = await one.signed();
    expect(await statusFor(gateway, token)).toBe(200);
    const { fetches } = one;
    await change({ auth: { ...one.section, models: { '*': ['other'] } } });
    expect(await statusFor(gateway, token)).toBe(403);
    await change({ auth: { ...one.section, models }, cors: { origins: ['https://app.example.com'] } });
    const reply = await ask(gateway, [...bearer(token), ['origin', 'https://app.example.com']]);
    expect(reply).toMatchObject({
      status: 200,
      headers: { 'access-control-allow-origin': 'https://app.example.com' },
    });
    expect(one.fetches).toBe(fetches);
  });

  it('another way to name callers names them so from then on', async () => {
    await change({ auth: one.section });
    const token = await one.signed();
    const name = async (): Promise<unknown> =>
      (await exchangeOf(gateway, await ask(gateway, bearer(token))))['principal'];
    expect(await name()).toBe('ann');
    await change({ auth: one.section, log: { ...log, subjects: 'hashed' } });
    expect(await name()).toEqual(expect.stringMatching(/^[\w-]{12}$/));
    await change({ auth: one.section, log: { ...log, subjects: 'none' } });
    expect(await name()).toBeUndefined();
  });
});
