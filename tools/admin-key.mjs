// Makes an API key of the admin API: prints it, which is kept nowhere, and its entry for ADMIN_KEYS.
import { Buffer } from 'node:buffer';
import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

const SCOPES = ['sessions:read', 'sessions:write', 'users:read', 'users:write'];

const [name = '', ...scopes] = process.argv.slice(2);
if (!/^[\w.~-]{1,64}$/.test(name) || scopes.length === 0 || !scopes.every((scope) => SCOPES.includes(scope))) {
  console.error(
    `Usage: npm run admin-key -- <name> <scope>…    (letters, digits and . _ ~ -; scopes are ${SCOPES.join(', ')})`,
  );
  process.exit(1);
}
const secret = randomBytes(32);
const checksum = Buffer.alloc(4);
checksum.writeUInt32BE(crc32(secret, crc32('lkadm_')));
const key = `lkadm_${Buffer.concat([secret, checksum]).toString('base64url')}`;
const hash = createHash('sha256').update(key).digest('base64url');
console.log(`key         ${key}\nADMIN_KEYS  ${name}:${hash}:${scopes.join('+')}`);
