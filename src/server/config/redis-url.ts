import type { RedisLocation, RedisNode } from '../../redis/connect.js';
import { parseWholeNumber, type Reject, type ValueFormat } from './values.js';

type StandaloneLocation = Extract<RedisLocation, { kind: 'standalone' }>;
type Credentials = Pick<RedisLocation, 'username' | 'password'>;

const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;

/**
 * REDIS_URL. The scheme selects a single server, a Unix socket or Sentinel; several server URLs are the nodes of a
 * Cluster.
 */
export const redisUrl: ValueFormat<RedisLocation> = {
  description:
    '`redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `rediss+sentinel://`, ' +
    'or several `redis://` or `rediss://`, comma-separated',
  parse(text, reject) {
    if (text.startsWith('unix:')) return parseSocket(text, reject);
    if (/^rediss?\+sentinel:/.test(text)) return parseSentinels(text, reject);
    const servers = text.split(/,(?=rediss?:)/).map((url) => parseServer(url, reject));
    const [first] = servers;
    return servers.length === 1 ? first : toCluster(servers, reject);
  },
};

function parseServer(text: string, reject: Reject): StandaloneLocation | undefined {
  const match = /^(rediss?):\/\/(?:([^@/]*)@)?([^@/,]+)(?:\/(\d{0,5}))?$/.exec(text);
  const node = match && parseNode(match[3]!, REDIS_PORT);
  if (!node) return reject('must have the form redis[s]://[[user]:password@]host[:port][/database]');
  const credentials = parseCredentials(match[2], reject);
  if (!credentials) return undefined;
  return { kind: 'standalone', ...node, db: Number(match[4] ?? 0), tls: match[1] === 'rediss', ...credentials };
}

function toCluster(servers: readonly (StandaloneLocation | undefined)[], reject: Reject): RedisLocation | undefined {
  const parsed = servers.filter((server) => server !== undefined);
  const [first] = parsed;
  if (first === undefined || parsed.length < servers.length) return undefined;
  const { tls, username, password } = first;
  if (parsed.some((each) => each.tls !== tls || each.username !== username || each.password !== password)) {
    return reject('must use the same scheme, user and password for all Cluster nodes');
  }
  if (parsed.some((each) => each.db !== 0))
    return reject('must not contain a database number: a Cluster has only one database');
  return { kind: 'cluster', nodes: parsed.map(({ host, port }) => ({ host, port })), tls, username, password };
}

function parseSentinels(text: string, reject: Reject): RedisLocation | undefined {
  const match = /^(rediss?)\+sentinel:\/\/(?:([^@/]*)@)?([^@/]+)\/([\w.-]+)(?:\/(\d{0,5}))?$/.exec(text);
  const sentinels = match?.[3]!.split(',').map((host) => parseNode(host, SENTINEL_PORT));
  if (!match || !sentinels?.every((node) => node !== undefined)) {
    return reject('must have the form redis[s]+sentinel://[[user]:password@]host[:port],host[:port]…/name[/database]');
  }
  const credentials = parseCredentials(match[2], reject);
  if (!credentials) return undefined;
  const [, scheme, , , name, db = 0] = match;
  return { kind: 'sentinel', sentinels, name: name!, db: Number(db), tls: scheme === 'rediss', ...credentials };
}

function parseSocket(text: string, reject: Reject): RedisLocation | undefined {
  const match = /^unix:\/\/(?:([^@/]*)@)?(\/[^?#]+)$/.exec(text);
  if (!match) return reject('must have the form unix://[[user]:password@]/path/to/socket');
  const path = percentDecode(match[2]!);
  if (path === undefined) return reject('must contain the percent-encoded path of a socket');
  const credentials = parseCredentials(match[1], reject);
  return credentials && { kind: 'unix', path, ...credentials };
}

function parseNode(text: string, defaultPort: number): RedisNode | undefined {
  const match = /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::(\d{1,5}))?$/i.exec(text);
  const port = match && parseWholeNumber(match[3] ?? String(defaultPort), { min: 1, max: 65_535 });
  return match && port ? { host: (match[1] ?? match[2])!, port } : undefined;
}

function parseCredentials(userinfo: string | undefined, reject: Reject): Credentials | undefined {
  if (userinfo === undefined) return { username: undefined, password: undefined };
  const [username, password = '', ...rest] = userinfo.split(':').map(percentDecode);
  if (username !== undefined && password && rest.length === 0) {
    return { username: username === '' ? undefined : username, password };
  }
  return reject('must contain credentials as user:password or :password, percent-encoded');
}

/** Returns undefined if the text is not valid percent-encoded UTF-8. */
function percentDecode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
