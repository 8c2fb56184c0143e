import { isIP } from 'node:net';

/** The first six groups of an IPv6 address that contains an IPv4 address: mapped (RFC 4291), translated (RFC 6052). */
const IPV4_PREFIXES = ['0:0:0:0:0:ffff', '64:ff9b:0:0:0:0'];

const WITH_PORT = /^(?:\[(.+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+)$/;

/**
 * Returns the network of a client address, in canonical form: the address itself for IPv4, the /64 for IPv6, because a
 * single customer gets at least a /64 (RFC 6177). A port, which some proxies append, is ignored.
 *
 * @returns `unknown` if the text is not an IP address.
 */
export function networkOf(addressAndPort: string): string {
  const [, bracketed, dotted] = WITH_PORT.exec(addressAndPort) ?? [];
  const address = bracketed ?? dotted ?? addressAndPort;
  switch (isIP(address)) {
    case 4:
      return address;
    case 6: {
      const groups = parseGroups(address);
      if (IPV4_PREFIXES.includes(groups.slice(0, 6).join(':'))) return toIpv4(groups.slice(6));
      return `${groups.slice(0, 4).join(':')}::/64`;
    }
    default:
      return 'unknown';
  }
}

/** Returns the eight groups of an IPv6 address, in lower case and without leading zeros. */
function parseGroups(address: string): string[] {
  const canonical = new URL(`http://[${address.replace(/%.*/, '')}]`).hostname.slice(1, -1);
  const [before = [], after = []] = canonical.split('::').map((half) => half.split(':').filter(Boolean));
  return [...before, ...Array<string>(8 - before.length - after.length).fill('0'), ...after];
}

function toIpv4(groups: readonly string[]): string {
  return groups
    .map((group) => parseInt(group, 16))
    .flatMap((value) => [value >> 8, value & 255])
    .join('.');
}
