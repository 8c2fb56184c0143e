import type { AddressInfo } from 'node:net';
import { toWebhookEvent } from '../http/flows/audit.js';
import { connect, type RedisLocation, waitUntilReady } from '../redis/connect.js';
import { type AppConfig, buildInternalApp, buildPublicApp, createWebhooks, type EventHandler } from './apps.js';

/** A running service. */
export interface RunningService {
  /** Port of the public listener. */
  readonly port: number;
  /** Responds to the requests that have arrived, then closes listeners and connections. */
  stop(): Promise<void>;
}

/** Runs the service in this process: connects to Redis and opens both listeners. */
export async function serve(config: AppConfig, location: RedisLocation): Promise<RunningService> {
  // Replaced with the app's logger once the app exists.
  let onError: (error: Error) => void = (error) => console.error(error.message);
  const connectAs = (name: string) =>
    connect(location, { timeoutMs: config.redisTimeoutMs, name, onError: (error) => onError(error) });
  const clients = {
    lookups: connectAs('latchkey-lookups'),
    scripts: connectAs('latchkey-scripts'),
    ...(config.revocationReplicas > 0 && { revocations: connectAs('latchkey-revocations') }),
  };
  await Promise.all(Object.values(clients).map((client) => waitUntilReady(client, config.redisTimeoutMs)));

  const webhooks = createWebhooks(config, clients, (error) => onError(error));
  const onEvent: EventHandler = (event) => {
    const webhookEvent = toWebhookEvent(event);
    if (webhookEvent) webhooks?.publish(webhookEvent);
  };
  const app = await buildPublicApp(config, clients, onEvent);
  onError = (error) => app.log.warn({ err: error }, error.message);
  const internal = await buildInternalApp(config, clients, app.latchkey, onEvent);

  await app.listen({ port: config.port, host: config.host });
  await internal.listen({ port: config.internalPort, host: config.internalHost });
  return {
    port: (app.server.address() as AddressInfo).port,
    async stop() {
      await Promise.all([app.close(), internal.close()]);
      await webhooks?.close();
      Object.values(clients).forEach((client) => client.disconnect());
    },
  };
}
