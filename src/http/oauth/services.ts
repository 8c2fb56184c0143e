import type { Services } from '../flows/services.js';
import type { OAuthClient, OAuthClients } from './clients.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The authenticated OAuth client; null on routes that require none. */
    oauthClient: OAuthClient | null;
  }
}

/** Dependencies of the OAuth endpoints. */
export interface OAuthServices extends Pick<Services, 'sessions' | 'origins' | 'report'> {
  readonly clients: OAuthClients;
}
