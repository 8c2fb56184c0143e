import { createRemoteJWKSet, type JWTVerifyGetKey } from 'jose';
import { allowInsecureRequests, type Configuration, discovery } from 'openid-client';
import { UnavailableError } from '../errors.js';
import { isLoopbackHost } from '../options.js';

const TIMEOUT_SECONDS = 5;

/** An OpenID Connect provider that users can log in with. */
export interface OidcProvider {
  /** Used in URLs and shown on the login button. */
  readonly name: string;
  /**
   * The issuer exactly as the provider's ID tokens state it; its configuration is discovered there.
   * Plain http is accepted for loopback hosts only, for tests.
   */
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

/** A provider whose configuration has been discovered (OpenID Connect Discovery 1.0). */
export interface DiscoveredProvider {
  readonly provider: OidcProvider;
  readonly configuration: Configuration;
  /** Finds, in the provider's JWK set, the key that a token is signed with. */
  readonly getKey: JWTVerifyGetKey;
}

/** The configured providers. Each is discovered at its first use; a failed discovery is retried at the next use. */
export class Providers {
  readonly #providers: ReadonlyMap<string, OidcProvider>;
  readonly #discoveries = new Map<string, Promise<DiscoveredProvider>>();

  constructor(providers: readonly OidcProvider[]) {
    this.#providers = new Map(providers.map((provider) => [provider.name, provider]));
  }

  /**
   * @returns undefined if no provider has this name.
   * @throws {UnavailableError} if discovery fails.
   */
  async find(name: string): Promise<DiscoveredProvider | undefined> {
    const provider = this.#providers.get(name);
    if (!provider) return undefined;
    let pending = this.#discoveries.get(name);
    if (!pending) {
      pending = discover(provider);
      this.#discoveries.set(name, pending);
      pending.catch(() => this.#discoveries.delete(name));
    }
    return pending;
  }
}

async function discover(provider: OidcProvider): Promise<DiscoveredProvider> {
  const issuer = new URL(provider.issuer);
  const execute = isLocal(issuer) ? [allowInsecureRequests] : [];
  try {
    const configuration = await discovery(issuer, provider.clientId, provider.clientSecret, undefined, {
      execute,
      timeout: TIMEOUT_SECONDS,
    });
    const getKey = createRemoteJWKSet(new URL(configuration.serverMetadata().jwks_uri!), {
      timeoutDuration: TIMEOUT_SECONDS * 1000,
    });
    return { provider, configuration, getKey };
  } catch (error) {
    throw new UnavailableError(`OpenID Connect discovery failed for the provider ${provider.name}`, { cause: error });
  }
}

function isLocal({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && isLoopbackHost(hostname);
}
