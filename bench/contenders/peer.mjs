/** What every peer answers for a valid session: the same members, with the same schema if it has a serializer. */
export const user = {
  subject: 'q3J0c7Yk1m9dV2xTnB4LwA',
  username: 'ada',
  methods: ['pwd'],
  authenticated_at: 1_790_000_000,
};

export const whoSchema = {
  response: {
    200: {
      type: 'object',
      additionalProperties: false,
      required: ['session_id', 'subject', 'authenticated_at', 'methods', 'expires_at'],
      properties: {
        session_id: { type: 'string' },
        subject: { type: 'string' },
        username: { type: 'string' },
        authenticated_at: { type: 'integer' },
        methods: { type: 'array', items: { type: 'string' } },
        expires_at: { type: 'integer' },
      },
    },
  },
};

export const who = (sessionId, { subject, username, methods, authenticated_at }, expiresAt) => ({
  session_id: sessionId,
  subject,
  username,
  authenticated_at,
  methods,
  expires_at: expiresAt,
});

export const listenOptions = { port: Number(process.env.PORT), host: '127.0.0.1' };
export const origin = `http://127.0.0.1:${process.env.PORT}`;

/** Sends the benchmark the request to repeat, and exits when the benchmark does. */
export function ready(request) {
  process.once('disconnect', () => process.exit());
  process.once('SIGTERM', () => process.exit());
  process.send({ path: '/me', headers: {}, contains: user.subject, ...request });
}

/** The cookies of a response, as a request sends them back. */
export function cookiesOf(response) {
  return response.headers
    .getSetCookie()
    .map((cookie) => cookie.split(';')[0])
    .join('; ');
}
