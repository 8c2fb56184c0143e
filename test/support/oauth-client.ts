import { createHash } from 'node:crypto';

/** The secret of the OAuth clients of the tests. */
export const CLIENT_SECRET = 'lks_a-randomly-drawn-secret';
export const CLIENT_SECRET_HASH = createHash('sha256').update(CLIENT_SECRET).digest('base64url');
