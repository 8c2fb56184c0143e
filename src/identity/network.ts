import { isIP } from 'node:net';

/** Six groups before an IPv4 address that is written as IPv6: mapped (RFC 4291) and translated (RFC 6052). */
const IPV4_PREFIXES = ['0:0:0:0:0:ffff', '64:ff9b:0:0:0:0'];

const WITH_PORT = /^(?:\[(.+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+)$/;

/**
 * The network that an address belongs to, in one spelling: an IPv4 address by itself, of an IPv6 address its /64,
 * which is the least that one customer gets (RFC 6177). A port, which some proxies add, is left out. What is no address is `unknown`.
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

/** Eight groups, lower-case and without leading zeros. */
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
