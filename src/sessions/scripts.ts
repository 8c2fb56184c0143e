import { defineScript } from '../redis/script.js';

const prelude = new URL('./scripts/prelude.lua', import.meta.url);

export const issue = defineScript({
  file: new URL('./scripts/issue.lua', import.meta.url),
  prelude,
  keys: ['session', 'sessions', 'user'],
  args: [
    'sessionId',
    'credential',
    'principal',
    'authenticatedAt',
    'client',
    'refresh',
    'access',
    'device',
    'address',
    'accessLifetime',
    'refreshLifetime',
    'sessionLifetime',
    'maxSessions',
    'supersedes',
  ],
  outcomes: ['issued', 'stale', 'disabled'],
});

export const rotate = defineScript({
  file: new URL('./scripts/rotate.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: [
    'sessionId',
    'client',
    'generation',
    'refresh',
    'access',
    'nextRefresh',
    'nextAccess',
    'address',
    'accessLifetime',
    'refreshLifetime',
    'grace',
    'retryWindow',
  ],
  outcomes: ['rotated', 'unchanged', 'retried', 'ended', 'reused'],
});

export const confirm = defineScript({
  file: new URL('./scripts/confirm.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: ['access'],
  outcomes: ['confirmed', 'unchanged'],
});

export const inspect = defineScript({
  file: new URL('./scripts/inspect.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: ['generation', 'refresh', 'nextRefresh', 'grace', 'retryWindow'],
  outcomes: ['active', 'reused', 'unknown'],
});

export const update = defineScript({
  file: new URL('./scripts/update.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: ['expected', 'replacement'],
  outcomes: ['updated', 'conflict', 'unknown'],
});

export const list = defineScript({
  file: new URL('./scripts/list.lua', import.meta.url),
  prelude,
  keys: ['sessions'],
  args: ['maxSessions'],
  outcomes: ['listed'],
});

export const revoke = defineScript({
  file: new URL('./scripts/revoke.lua', import.meta.url),
  prelude,
  keys: ['session'],
  args: ['sessionId', 'subject', 'reason'],
  outcomes: ['revoked', 'unknown'],
});

export const revokeAll = defineScript({
  file: new URL('./scripts/revoke-all.lua', import.meta.url),
  prelude,
  keys: ['sessions', 'user'],
  args: ['reason', 'own', 'ownReason', 'batchSize', 'credential', 'replacement'],
  outcomes: ['revoked', 'incomplete', 'stale'],
});
