import t from 'tap';
import { PASSWORD, setCookies, startService } from '../../support/service.js';
import { formPoster, GERMAN, SAME_ORIGIN, textOf } from './support.js';

const service = await startService({ registrationsPerNetwork: 12 });
const closed = await startService({ registration: 'closed' }, { redis: service.redis });
t.teardown(async () => {
  await closed.close();
  await service.close();
});
const { get } = service;
const send = formPoster(service);
const signUp = (fields: Record<string, string>, headers?: Record<string, string>) =>
  send('/auth/form/register', fields, headers);

t.test('the registration form has the attributes that password managers need', async (t) => {
  const { body } = await get('/register');
  t.match(body, '<form method="post" action="/auth/form/register">');
  t.match(body, /name="username" value="" autocomplete="username" .*required autofocus>/);
  t.match(
    body,
    '<input id="password" name="password" type="password" autocomplete="new-password" minlength="15" required aria-describedby="password-hint">',
  );
  t.match(body, '<p id="password-hint" class="hint">At least 15 characters');
  t.match(body, '<a href="/login">Log in</a>');
  t.match(textOf(await get('/register', GERMAN)), 'Mindestens 15 Zeichen');
});

t.test('a registration logs the new user in', async (t) => {
  const reply = await signUp({ username: 'Grace', password: PASSWORD });
  t.equal(reply.statusCode, 303);
  t.equal(reply.headers.location, '/account');
  t.equal(setCookies(reply).length, 2);
});

t.test('a refused registration says why, focuses the field and sets no cookie', async (t) => {
  const username = '<b>"ada"</b>';
  for (const [fields, status, english, german, field] of [
    [
      { username: 'grace', password: PASSWORD },
      409,
      'This username is taken.',
      'Dieser Benutzername ist vergeben.',
      'username',
    ],
    [
      { username: 'a b', password: PASSWORD },
      400,
      'Choose a username of at most 254 characters, without spaces',
      'Wählen Sie einen Benutzernamen mit höchstens 254 Zeichen und ohne Leerzeichen',
      'username',
    ],
    [{ username, password: 'short' }, 422, 'The password is too short.', 'Das Passwort ist zu kurz.', 'password'],
    [
      { username, password: 'x'.repeat(1025) },
      422,
      'The password is too long.',
      'Das Passwort ist zu lang.',
      'password',
    ],
    [
      { username: 'long-username-of-mine', password: 'long-username-of-mine' },
      422,
      'The password must not be the same as the username.',
      'Das Passwort darf nicht der Benutzername sein.',
      'password',
    ],
  ] as const) {
    for (const [text, headers] of [
      [english, SAME_ORIGIN],
      [german, { ...SAME_ORIGIN, ...GERMAN }],
    ] as const) {
      const reply = await signUp(fields, headers);
      t.equal(reply.statusCode, status, text);
      t.match(textOf(reply), text);
      t.same(setCookies(reply), []);
      t.notMatch(reply.body, '<b>');
      const [passwordInput = ''] = /<input id="password"[^>]*>/.exec(reply.body) ?? [];
      t.match(passwordInput, 'type="password"');
      t.notMatch(passwordInput, 'value=', 'the password is not sent back');
      const [, focused] = /<input id="(\w+)"[^>]* autofocus aria-describedby="error/.exec(reply.body) ?? [];
      t.equal(focused, field);
    }
  }
});

t.test('too many registrations from one network are refused', async (t) => {
  let reply = await signUp({ username: 'a b', password: 'x' });
  for (let i = 0; i < 12 && reply.statusCode !== 429; i++) reply = await signUp({ username: 'a b', password: 'x' });
  t.equal(reply.statusCode, 429);
  t.match(reply.headers['retry-after'], /^\d+$/);
  t.match(textOf(reply), 'Too many attempts.');
});

t.test('while registration is closed, it has no link and no form, and posts are refused', async (t) => {
  t.notMatch((await closed.get('/login')).body, '/register');
  const page = await closed.get('/register');
  t.equal(page.statusCode, 403);
  t.match(textOf(page), 'Registration is closed.');
  const reply = await formPoster(closed)(
    '/auth/form/register',
    { username: 'late', password: PASSWORD },
    { ...SAME_ORIGIN, ...GERMAN },
  );
  t.equal(reply.statusCode, 403);
  t.match(textOf(reply), 'Die Registrierung ist geschlossen.');
  t.same(setCookies(reply), []);
});
