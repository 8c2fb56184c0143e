import { Redis } from 'ioredis';
import { buildInternalApp, buildPublicApp } from '../src/server/apps.js';
import { loadConfig } from '../src/server/config/load.js';

/** Generates `/openapi.json` of both listeners with everything configured, by file name. It needs no Redis. */
export async function openapiDocuments(): Promise<Record<string, string>> {
  const config = {
    ...loadConfig({ LOG_LEVEL: 'silent' }),
    tokenKeys: ['a token key that signs nothing, 32 characters'] as const,
    adminKeys: [],
    oidcProviders: [
      { name: 'example', issuer: 'https://provider.example', clientId: 'latchkey', clientSecret: 'none' },
    ],
  };
  const client = new Redis({ lazyConnect: true });
  const open = await buildPublicApp(config, { lookups: client, scripts: client });
  const internal = await buildInternalApp(config, { lookups: client, scripts: client }, open.latchkey);
  try {
    const documents: Record<string, string> = {};
    for (const [name, app] of Object.entries({ 'openapi.json': open, 'openapi-internal.json': internal })) {
      await app.ready();
      documents[name] = `${JSON.stringify(app.swagger(), null, 2)}\n`;
    }
    return documents;
  } finally {
    await Promise.all([open.close(), internal.close()]);
    client.disconnect();
  }
}
