import type { Services } from '../flows/services.js';
import type { OAuthClient, OAuthClients } from './clients.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The authenticated OAuth client; null if the route does not need one. */
    oauthClient: OAuthClient | null;
  }
}

/** What the OAuth endpoints use. */
export interface OAuthServices extends Pick<Services, 'sessions' | 'origins' | 'report'> {
  readonly clients: OAuthClients;
}
