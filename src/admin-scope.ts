export const ADMIN_SCOPES = ['sessions:read', 'sessions:write', 'users:read', 'users:write'] as const;
/** What an API key of the admin API allows. */
export type AdminScope = (typeof ADMIN_SCOPES)[number];
