import { describeRule, LIFETIME_RULES, MIN_SAFE_GRACE_MS, satisfiesRule } from '../../options.js';
import { isInsecure } from './entry-parsers.js';
import { formatDuration } from './values.js';
import { type Field, type Values, variables } from './variables.js';

/** A constraint on one or more variables. */
export interface Rule {
  /** Whether a violation prevents the start or is only warned about. */
  readonly severity: 'error' | 'warning';
  /** The rule is checked only if all of these are valid. */
  readonly fields: readonly Field[];
  /** What is reported if the rule is violated. */
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
    message: 'ADMIN_KEYS must not contain two keys with the same name',
    isViolated: ({ adminKeys = [] }) => hasDuplicates(adminKeys.map(({ name }) => name)),
  },
  {
    severity: 'error',
    fields: ['webhooks'],
    message: 'WEBHOOKS must not contain an endpoint twice',
    isViolated: ({ webhooks = [] }) => hasDuplicates(webhooks.map(({ url }) => url)),
  },
  {
    severity: 'error',
    fields: ['oidcProviders'],
    message: 'OIDC_PROVIDERS must not contain two providers with the same name',
    isViolated: ({ oidcProviders = [] }) => hasDuplicates(oidcProviders.map(({ name }) => name)),
  },
  {
    severity: 'error',
    fields: ['oauthClients'],
    message: 'OAUTH_CLIENTS must not contain two clients with the same id',
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
      'PUBLIC_ORIGIN is http:// on a host other than localhost: browsers will reject the cookies, which are Secure',
    isViolated: ({ publicOrigins = [], nodeEnv }) => nodeEnv !== 'production' && publicOrigins.some(isInsecure),
  },
  {
    severity: 'warning',
    fields: ['publicOrigins', 'nodeEnv'],
    message: 'PUBLIC_ORIGIN is not set in production: it is required behind a proxy that terminates TLS',
    isViolated: ({ publicOrigins, nodeEnv }) => nodeEnv === 'production' && publicOrigins === undefined,
  },
  {
    severity: 'warning',
    fields: ['publicOrigins', 'trustProxy'],
    message:
      'TRUST_PROXY is not set although PUBLIC_ORIGIN is https://: ' +
      'rate limits will treat all clients behind the TLS-terminating proxy as one',
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
    message: `REFRESH_GRACE is below ${formatDuration(MIN_SAFE_GRACE_MS)}: a lost or late response can log users out`,
    isViolated: ({ refreshGraceMs }) => refreshGraceMs < MIN_SAFE_GRACE_MS,
  },
];

function hasDuplicates(names: readonly string[]): boolean {
  return new Set(names).size < names.length;
}
