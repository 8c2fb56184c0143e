import type { Documentation } from './document.js';

/** What the document of the public listener says beside its routes. */
export const publicDocumentation: Documentation = {
  title: 'latchkey',
  description: [
    'Sessions by opaque access and refresh tokens. Browsers hold them in two cookies that scripts cannot read, everyone else shows the access token as a bearer token.',
    'Every error is `application/problem+json` (RFC 9457) with a stable `code`; under `/oauth`, it is what RFC 6749 wants.',
    'A path that is not listed here is 404 `not_found`; what could not be read as a request is 400 `invalid_request`, 408 `request_timeout` or 431 `headers_too_large`.',
  ].join('\n\n'),
  tags: [
    { name: 'auth', description: 'Log in, ask who this is, refresh, log out' },
    { name: 'oauth', description: 'For OAuth clients and resource servers (RFC 6749, 7009, 7662, 8414)' },
    { name: 'documentation', description: 'The API, by itself' },
  ],
  securitySchemes: {
    cookie: {
      type: 'apiKey',
      in: 'cookie',
      name: '__Host-Http-latchkey',
      description: 'The access token, as a login sets it',
    },
    bearer: { type: 'http', scheme: 'bearer', description: 'The access token' },
    client: {
      type: 'http',
      scheme: 'basic',
      description: 'The id and secret of an OAuth client; both can be sent in the body instead',
    },
  },
};

/** What the document of the internal listener says beside its routes. */
export const internalDocumentation: Documentation = {
  title: 'latchkey, internal',
  description: [
    'For operators and back ends. Never let the public reach this listener.',
    'Every error is `application/problem+json` (RFC 9457) with a stable `code`. The admin API is there if `ADMIN_KEYS` is set.',
  ].join('\n\n'),
  tags: [
    { name: 'health', description: 'Whether the service lives, and can answer' },
    { name: 'admin', description: 'Sessions and users, by API key' },
    { name: 'documentation', description: 'The API, by itself' },
  ],
  securitySchemes: {
    apiKey: { type: 'http', scheme: 'bearer', description: 'An API key, made with `npx latchkey-admin-key`' },
  },
};
