import t from 'tap';
import { startCluster } from '../support/redis.js';
import { hostApp, ORIGIN } from './support.js';

t.test("the plugin works with a host's Cluster client", async (t) => {
  const cluster = await startCluster({ masters: 3 });
  t.teardown(() => cluster.stop());
  const client = cluster.cluster();
  const before = new Set(Object.getOwnPropertyNames(client));
  const app = await hostApp(t, client);
  for (const subject of ['ada', 'grace', 'joan', 'katherine']) {
    const { pair } = await app.latchkey.issue({ identity: { subject, methods: ['pwd'] }, origin: ORIGIN });
    const reply = await app.inject({ url: '/me', headers: { authorization: `Bearer ${pair.access.token}` } });
    t.match(reply.json(), { subject });
  }
  t.same(
    Object.getOwnPropertyNames(client).filter(
      (name) => !before.has(name) && typeof Reflect.get(client, name) === 'function',
    ),
    [],
  );
  t.same(client.scriptsSet, {});
});
