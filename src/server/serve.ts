import type { AddressInfo } from 'node:net';
import { type AppConfig, internalApp, type OnEvent, publicApp, webhooksOf } from './apps.js';
import { toWebhookEvent } from '../http/flows/audit.js';
import { connect, type RedisLocation, waitUntilReady } from '../redis/connect.js';

/** Something that runs until it is stopped. */
export interface Running {
  /** The public listener's. */
  readonly port: number;
  /** Lets what has arrived be answered, then closes everything that was opened. */
  stop(): Promise<void>;
}

/** Runs the service in this process: both listeners, and its connections to Redis. */
export async function serve(config: AppConfig, location: RedisLocation): Promise<Running> {
  let onError: (error: Error) => void = (error) => console.error(error.message);
  const clientNamed = (name: string) =>
    connect(location, { timeoutMs: config.redisTimeoutMs, name, onError: (error) => onError(error) });
  const clients = {
    lookups: clientNamed('latchkey-lookups'),
    scripts: clientNamed('latchkey-scripts'),
    ...(config.revocationReplicas > 0 && { revocations: clientNamed('latchkey-revocations') }),
  };
  await Promise.all(Object.values(clients).map((client) => waitUntilReady(client, config.redisTimeoutMs)));

  const webhooks = webhooksOf(config, clients, (error) => onError(error));
  const onEvent: OnEvent = (event) => {
    const told = toWebhookEvent(event);
    if (told) webhooks?.publish(told);
  };
  const app = await publicApp(config, clients, onEvent);
  onError = (error) => app.log.warn({ err: error }, error.message);
  const internal = await internalApp(config, clients, app.latchkey, onEvent);

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
