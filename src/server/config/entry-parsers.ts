import { isIP } from 'node:net';
import { ADMIN_SCOPES, type AdminScope } from '../../http/kit/route.js';
import { isLoopbackHost, isTokenKeyLongEnough, MIN_TOKEN_KEY_LENGTH } from '../../options.js';
import { type Parse, parseWholeNumber } from './values.js';

const PROXY_NETWORKS = ['loopback', 'linklocal', 'uniquelocal'];
const MIN_WEBHOOK_SECRET_BYTES = 24;
const MAX_WEBHOOK_SECRET_BYTES = 64;

export const parseOrigin: Parse<string> = (text, reject) => {
  const url = /^https?:\/\/[^*]+$/i.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (url?.href !== `${url?.origin}/`) {
    return reject('must be an origin: http:// or https://, a host, and optionally a port');
  }
  return url.origin;
};

/** Whether a URL is plain HTTP to another machine. */
export function isInsecure(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !isLoopbackHost(hostname);
}

export const parseProxy: Parse<string> = (text, reject) => {
  if (PROXY_NETWORKS.includes(text)) return text;
  if (text === 'true') return reject('must not be true, which would trust every client: list the proxies');
  const [address = '', bits, ...rest] = text.split('/');
  const version = address.includes('%') ? 0 : isIP(address);
  const isRange = bits === undefined || parseWholeNumber(bits, { min: 1, max: version === 4 ? 32 : 128 }) !== undefined;
  if (version !== 0 && isRange && rest.length === 0) return text;
  return reject(`must be an IP address, a range such as 10.0.0.0/8, or one of ${PROXY_NETWORKS.join(', ')}`);
};

export const parseTokenKey: Parse<string> = (text, reject) =>
  isTokenKeyLongEnough(text) ? text : reject(`must have at least ${MIN_TOKEN_KEY_LENGTH} characters`);

export const parseOAuthClient: Parse<{ id: string; secretHash: string | undefined }> = (text, reject) => {
  const match = /^([\w.~-]{1,64})(?::([\w-]{43}))?$/.exec(text);
  if (match) return { id: match[1]!, secretHash: match[2] };
  return reject(
    'must be <id> or <id>:<base64url SHA-256 of the secret>, where an id has up to 64 letters, digits and . _ ~ -',
  );
};

export const parseOidcProvider: Parse<{
  name: string;
  issuer: string;
  clientId: string;
  clientSecret: string;
}> = (text, reject) => {
  const [name = '', issuer = '', clientId = '', clientSecret = '', ...rest] = text.split(/ +/);
  if (!/^[\w.~-]{1,64}$/.test(name) || clientSecret === '' || rest.length > 0) {
    return reject(
      'must be a name of letters, digits and . _ ~ -, an issuer, a client id and its secret, separated by spaces',
    );
  }
  if (!/^https?:\/\/[^?#@]+$/.test(issuer) || !URL.canParse(issuer) || isInsecure(issuer)) {
    return reject(
      'must have an https:// issuer without a query; http:// is allowed only for localhost, 127.0.0.1 and [::1]',
    );
  }
  return { name, issuer, clientId, clientSecret };
};

export const parseAdminKey: Parse<{ name: string; digest: string; scopes: readonly AdminScope[] }> = (text, reject) => {
  const match = /^([\w.~-]{1,64}):([\w-]{43}):(.+)$/.exec(text);
  if (!match) {
    return reject('must be <name>:<base64url SHA-256 of the key>:<scope>+<scope>…');
  }
  const scopes = match[3]!.split('+').map((word) => ADMIN_SCOPES.find((scope) => scope === word));
  if (!scopes.every((scope) => scope !== undefined)) {
    return reject(`must contain only these scopes: ${ADMIN_SCOPES.join(', ')}`);
  }
  return { name: match[1]!, digest: match[2]!, scopes };
};

export const parseWebhook: Parse<{ url: string; secrets: readonly string[] }> = (text, reject) => {
  const [url = '', ...secrets] = text.split(/ +/);
  if (!/^https?:\/\/[^/?#@]+([/?][^#]*)?$/i.test(url) || !URL.canParse(url)) {
    return reject('must begin with an http:// or https:// URL without credentials or a fragment');
  }
  if (secrets.length > 0 && secrets.every(isWebhookSecret)) return { url: new URL(url).href, secrets };
  return reject('must be <url> <secret>, where a secret is whsec_ and 24 to 64 bytes in base64');
};

function isWebhookSecret(secret: string): boolean {
  const key = /^whsec_([A-Za-z\d+/]+={0,2})$/.exec(secret)?.[1] ?? '';
  const bytes = Buffer.from(key, 'base64').length;
  return bytes >= MIN_WEBHOOK_SECRET_BYTES && bytes <= MAX_WEBHOOK_SECRET_BYTES;
}
