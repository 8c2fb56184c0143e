import t from 'tap';
import { PASSWORD, runExample } from './run-example.js';

t.test('examples/fastify-app keeps notes per user, and refuses requests without a session', async (t) => {
  const url = await runExample(t, 'examples/fastify-app/server.js');
  const send = (path: string, body?: object, headers: Record<string, string> = {}, method = body ? 'POST' : 'GET') =>
    fetch(url + path, {
      method,
      headers: { ...(body && { 'content-type': 'application/json' }), ...headers },
      ...(body && { body: JSON.stringify(body) }),
    });
  const logIn = async (username: string) => {
    await send('/auth/register', { username, password: PASSWORD });
    const reply = await send('/auth/login', { username, password: PASSWORD, transport: 'bearer' });
    const { access_token: token } = (await reply.json()) as { access_token: string };
    return { authorization: `Bearer ${token}` };
  };

  t.equal((await fetch(`${url}/`)).url.startsWith(`${url}/login`), true, 'a browser is redirected to the login page');
  const unknown = await send('/api/notes');
  t.equal(unknown.status, 401);
  t.match(unknown.headers.get('www-authenticate'), 'Bearer realm="latchkey"');

  const [grace, ada] = [await logIn('grace'), await logIn('ada')];
  t.equal((await send('/api/notes', { text: 'milk' }, grace)).status, 201);
  t.strictSame(await (await send('/api/notes', undefined, grace)).json(), { notes: ['milk'] });
  t.strictSame(await (await send('/api/notes', undefined, ada)).json(), { notes: [] });
  t.equal((await send('/api/notes', undefined, grace, 'DELETE')).status, 204);
  t.equal((await send('/auth/logout', {}, grace)).status, 204);
  t.equal((await send('/api/notes', undefined, grace)).status, 401);
});
