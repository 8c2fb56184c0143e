import { createRemoteJWKSet, type JWTVerifyGetKey } from 'jose';
import { allowInsecureRequests, type Configuration, discovery } from 'openid-client';
import { UnavailableError } from '../../errors.js';
import { isLoopbackHost } from '../../options.js';
import { Problem } from '../kit/problem.js';

const TIMEOUT_SECONDS = 5;

/** A provider that users can log in with. */
export interface OidcProvider {
  /** In paths, and on the button. */
  readonly name: string;
  /** As its ID tokens write it; its configuration is discovered there. Plain http is for tests, on this machine alone. */
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

/** A provider that has been discovered. */
export interface Discovered {
  readonly provider: OidcProvider;
  readonly configuration: Configuration;
  /** The keys that it signs with. */
  readonly keys: JWTVerifyGetKey;
}

/** The providers by their names, each discovered when it is needed for the first time, and again if that fails. */
export class Providers {
  readonly #providers: ReadonlyMap<string, OidcProvider>;
  readonly #discovered = new Map<string, Promise<Discovered>>();

  constructor(providers: readonly OidcProvider[]) {
    this.#providers = new Map(providers.map((provider) => [provider.name, provider]));
  }

  /**
   * @throws {Problem} `not_found` for a name that is nobody's.
   * @throws {UnavailableError} when the provider does not answer.
   */
  async find(name: string): Promise<Discovered> {
    const provider = this.#providers.get(name);
    if (!provider) throw new Problem('not_found');
    let discovered = this.#discovered.get(name);
    if (!discovered) {
      discovered = discover(provider);
      this.#discovered.set(name, discovered);
      discovered.catch(() => this.#discovered.delete(name));
    }
    return discovered;
  }
}

async function discover(provider: OidcProvider): Promise<Discovered> {
  const issuer = new URL(provider.issuer);
  const execute = isLocal(issuer) ? [allowInsecureRequests] : [];
  try {
    const configuration = await discovery(issuer, provider.clientId, provider.clientSecret, undefined, {
      execute,
      timeout: TIMEOUT_SECONDS,
    });
    const keys = createRemoteJWKSet(new URL(configuration.serverMetadata().jwks_uri!), {
      timeoutDuration: TIMEOUT_SECONDS * 1000,
    });
    return { provider, configuration, keys };
  } catch (error) {
    throw new UnavailableError(`The provider ${provider.name} cannot be discovered`, { cause: error });
  }
}

function isLocal({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && isLoopbackHost(hostname);
}
