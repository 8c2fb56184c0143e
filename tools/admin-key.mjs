#!/usr/bin/env node
// Creates an API key for the admin API. Prints the key, which is stored nowhere, and its entry for ADMIN_KEYS.
import { Buffer } from 'node:buffer';
import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

const SCOPES = ['sessions:read', 'sessions:write', 'users:read', 'users:write'];

const [name = '', ...scopes] = process.argv.slice(2);
if (!/^[\w.~-]{1,64}$/.test(name) || scopes.length === 0 || !scopes.every((scope) => SCOPES.includes(scope))) {
  console.error(
    `Usage: latchkey-admin-key <name> <scope>…\n` +
      `  name: 1 to 64 letters, digits and . _ ~ -\n  scopes: ${SCOPES.join(', ')}`,
  );
  process.exit(1);
}
const secret = randomBytes(32);
const checksum = Buffer.alloc(4);
checksum.writeUInt32BE(crc32(secret, crc32('lkadm_')));
const key = `lkadm_${Buffer.concat([secret, checksum]).toString('base64url')}`;
const hash = createHash('sha256').update(key).digest('base64url');
console.log(`key         ${key}\nADMIN_KEYS  ${name}:${hash}:${scopes.join('+')}`);
