import t from 'tap';
import { networkOf } from '../../src/identity/network.js';

t.test('the network of an IPv4 address is the address itself', async (t) => {
  t.equal(networkOf('203.0.113.7'), '203.0.113.7');
});

t.test('the network of an IPv6 address is its /64, however the address is written', async (t) => {
  const network = '2001:db8:0:1::/64';
  for (const spelling of [
    '2001:db8:0:1::1',
    '2001:0DB8:0000:0001:ffff:ffff:ffff:ffff',
    '2001:db8:0:1:0:0:0:0',
    '2001:db8:0:1::192.0.2.1',
    '2001:db8:0:1::1%eth0',
  ]) {
    t.equal(networkOf(spelling), network, spelling);
  }
  t.not(networkOf('2001:db8:0:2::1'), network);
  t.equal(networkOf('::1'), '0:0:0:0::/64');
  t.equal(networkOf('::'), '0:0:0:0::/64');
});

t.test('the network of an IPv4 address written as IPv6 is the IPv4 address', async (t) => {
  for (const spelling of [
    '::ffff:203.0.113.7',
    '::FFFF:cb00:7107',
    '0:0:0:0:0:ffff:cb00:7107',
    '64:ff9b::203.0.113.7',
  ]) {
    t.equal(networkOf(spelling), '203.0.113.7', spelling);
  }
});

t.test('a port after the address is ignored', async (t) => {
  t.equal(networkOf('203.0.113.7:8080'), '203.0.113.7');
  t.equal(networkOf('198.51.100.23:8'), '198.51.100.23');
  t.equal(networkOf('[2001:db8:0:1::9]:443'), '2001:db8:0:1::/64');
  t.equal(networkOf('[2001:db8:0:1::9]'), '2001:db8:0:1::/64');
  t.equal(networkOf('[::ffff:203.0.113.7]:1'), '203.0.113.7');
});

t.test('text that is not an IP address belongs to the network unknown', async (t) => {
  for (const text of [
    '',
    'unknown',
    '203.0.113.7:',
    '203.0.113:80',
    'x203.0.113.7:80',
    '203.0.113.7:80x',
    '[203.0.113.7',
    '[]',
    '[x]:1',
    '1.2.3',
    'a\nb',
  ])
    t.equal(networkOf(text), 'unknown', text);
});
