#!/usr/bin/env node
// Creates a confidential OAuth client. Prints its secret, which is stored nowhere, and its entry for OAUTH_CLIENTS.
import { createHash, randomBytes } from 'node:crypto';

const [id = ''] = process.argv.slice(2);
if (!/^[\w.~-]{1,64}$/.test(id)) {
  console.error('Usage: latchkey-oauth-client <id>\n  id: 1 to 64 letters, digits and . _ ~ -');
  process.exit(1);
}
const secret = `lks_${randomBytes(32).toString('base64url')}`;
const hash = createHash('sha256').update(secret).digest('base64url');
console.log(`client_id      ${id}\nclient_secret  ${secret}\nOAUTH_CLIENTS  ${id}:${hash}`);
