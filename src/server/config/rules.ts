import { describeRule, LIFETIME_RULES, MIN_SAFE_GRACE_MS, satisfiesRule } from '../../options.js';
import { isInsecure } from './entry-parsers.js';
import { formatDuration } from './values.js';
import { type Field, type Values, variables } from './variables.js';

/** What must hold between variables. */
export interface Rule {
  /** A broken rule prevents the start, or is only warned about. */
  readonly severity: 'error' | 'warning';
  /** The rule is checked only if all of these are valid. */
  readonly fields: readonly Field[];
  /** What is reported when the rule is broken. */
  readonly message: string;
  readonly isViolated: (values: Values) => boolean;
}

const lifetimeRules = LIFETIME_RULES.map((rule): Rule => {
  const { option, other } = rule;
  return {
    severity: 'error',
    fields: [option, other],
    message: describeRule(rule, (field) => variables[field].name),
    isViolated: (values) => !satisfiesRule(rule, values),
  };
});

/** Every rule; docs/configuration.md lists them. */
export const rules: readonly Rule[] = [
  {
    severity: 'error',
    fields: ['adminKeys'],
    message: 'ADMIN_KEYS must not give two keys the same name',
    isViolated: ({ adminKeys = [] }) => hasDuplicates(adminKeys.map(({ name }) => name)),
  },
  {
    severity: 'error',
    fields: ['webhooks'],
    message: 'WEBHOOKS must not name an endpoint twice',
    isViolated: ({ webhooks = [] }) => hasDuplicates(webhooks.map(({ url }) => url)),
  },
  {
    severity: 'error',
    fields: ['oidcProviders'],
    message: 'OIDC_PROVIDERS must not name a provider twice',
    isViolated: ({ oidcProviders = [] }) => hasDuplicates(oidcProviders.map(({ name }) => name)),
  },
  {
    severity: 'error',
    fields: ['oauthClients'],
    message: 'OAUTH_CLIENTS must not name a client twice',
    isViolated: ({ oauthClients = [] }) => hasDuplicates(oauthClients.map(({ id }) => id)),
  },
  {
    severity: 'error',
    fields: ['tokenKeys', 'nodeEnv'],
    message: 'TOKEN_KEYS must be set in production',
    isViolated: ({ tokenKeys, nodeEnv }) => nodeEnv === 'production' && tokenKeys === undefined,
  },
  {
    severity: 'error',
    fields: ['publicOrigins', 'nodeEnv'],
    message: 'PUBLIC_ORIGIN must be https:// in production, except for localhost, 127.0.0.1 and [::1]',
    isViolated: ({ publicOrigins = [], nodeEnv }) => nodeEnv === 'production' && publicOrigins.some(isInsecure),
  },
  {
    severity: 'warning',
    fields: ['publicOrigins', 'nodeEnv'],
    message:
      'PUBLIC_ORIGIN is http:// on another host than localhost: browsers will drop the cookies, which are Secure',
    isViolated: ({ publicOrigins = [], nodeEnv }) => nodeEnv !== 'production' && publicOrigins.some(isInsecure),
  },
  {
    severity: 'warning',
    fields: ['publicOrigins', 'nodeEnv'],
    message: 'PUBLIC_ORIGIN is not set in production: behind a proxy that terminates TLS it is required',
    isViolated: ({ publicOrigins, nodeEnv }) => nodeEnv === 'production' && publicOrigins === undefined,
  },
  {
    severity: 'warning',
    fields: ['publicOrigins', 'trustProxy'],
    message:
      'TRUST_PROXY is not set although PUBLIC_ORIGIN is https://: ' +
      'all clients behind the proxy that terminates TLS count as one network',
    isViolated: ({ publicOrigins = [], trustProxy }) =>
      trustProxy === undefined && publicOrigins.some((origin) => origin.startsWith('https:')),
  },
  {
    severity: 'error',
    fields: ['port', 'host', 'internalPort', 'internalHost'],
    message: 'INTERNAL_PORT must differ from PORT if INTERNAL_HOST and HOST are the same',
    isViolated: ({ port, internalPort, host, internalHost }) =>
      port !== 0 && port === internalPort && host === internalHost,
  },
  ...lifetimeRules,
  {
    severity: 'warning',
    fields: ['refreshGraceMs'],
    message:
      `REFRESH_GRACE is below ${formatDuration(MIN_SAFE_GRACE_MS)}: ` + 'a delayed or lost response can log users out',
    isViolated: ({ refreshGraceMs }) => refreshGraceMs < MIN_SAFE_GRACE_MS,
  },
];

function hasDuplicates(names: readonly string[]): boolean {
  return new Set(names).size < names.length;
}
