import { Type } from '@sinclair/typebox';
import type { DiscoveredProvider, Providers } from '../../federation/providers.js';
import { Problem } from '../kit/problem.js';

export const ProviderParams = Type.Object({ provider: Type.String({ maxLength: 64 }) });

export const Redirect = Type.Unsafe<undefined>({
  type: 'null',
  headers: { location: { type: 'string', description: 'Where the browser is redirected to' } },
});

/**
 * Finds a configured provider, and discovers its configuration at the first use.
 *
 * @throws {Problem} `not_found` if no provider has this name.
 * @throws {UnavailableError} if discovery fails.
 */
export async function requireProvider(providers: Providers, name: string): Promise<DiscoveredProvider> {
  const provider = await providers.find(name);
  if (!provider) throw new Problem('not_found');
  return provider;
}

/** Returns the origin that the request was made to if it is one of `origins`, otherwise the first of `origins`. */
export function publicOriginOf(
  { protocol, host }: { protocol: string; host: string },
  origins: ReadonlySet<string>,
): string {
  const requested = `${protocol}://${host}`;
  const [first = requested] = origins;
  return origins.has(requested) ? requested : first;
}
