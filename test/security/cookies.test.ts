import t from 'tap';
import { readCookie } from '../../src/http/kit/cookies.js';
import { rawRequest } from '../support/raw.js';
import { ACCESS_COOKIE as NAME, REFRESH_COOKIE, startService } from '../support/service.js';

const service = await startService();
t.teardown(() => service.close());
const { get, post, mint } = service;
const { pair } = await mint();
const token = pair.access.token;

t.test('a token cookie that appears twice is refused, whichever of the two is valid', async (t) => {
  for (const cookie of [
    `${NAME}=${token}; ${NAME}=other`,
    `${NAME}=other; ${NAME}=${token}`,
    `${NAME}=${token};${NAME}=${token}`,
    `${NAME}=; ${NAME}=${token}`,
  ]) {
    const reply = await get('/auth/session', { cookie });
    t.equal(reply.statusCode, 400, cookie);
    t.equal(reply.json().code, 'ambiguous_credentials');
  }
  const twice = await post('/auth/refresh', undefined, {
    cookie: `${REFRESH_COOKIE}=a; ${REFRESH_COOKIE}=b`,
    'sec-fetch-site': 'same-origin',
  });
  t.equal(twice.statusCode, 400);
  t.equal(twice.json().code, 'ambiguous_credentials');
});

t.test('a token cookie that appears in two Cookie headers is refused', async (t) => {
  const lines = [
    'GET /auth/session HTTP/1.1',
    'Host: x',
    `Cookie: ${NAME}=${token}`,
    `Cookie: ${NAME}=other`,
    'Connection: close',
    '',
    '',
  ];
  t.equal((await rawRequest(service.url, lines.join('\r\n')))?.status, 400);
});

t.test('a cookie name that resembles that of a token cookie is refused, alone and beside the real one', async (t) => {
  const lookAlikes = [
    NAME.toLowerCase(),
    NAME.toUpperCase(),
    `${NAME}\t`,
    `\t${NAME}`,
    `  ${NAME}`,
    `${NAME} `,
    `\u00a0${NAME}`,
    `"${NAME}"`,
    '__Host-Http-%6catchkey',
    '%5F%5FHost-Http-latchkey',
    `${NAME}%00`,
    `${NAME}\u0085`,
    `${NAME}[]`,
    `$${NAME}`,
    `${NAME}.`,
  ];
  for (const name of lookAlikes) {
    for (const header of [`${name}=${token}`, `a=b; ${name}=${token}`, `${NAME}=${token}; ${name}=other`]) {
      t.throws(() => readCookie(header, NAME), { code: 'ambiguous_credentials' }, JSON.stringify(header));
    }
  }
  t.throws(() => readCookie(`a=b; ${NAME}`, NAME), { code: 'ambiguous_credentials' }, 'a name without a value');
  t.equal((await get('/auth/session', { cookie: `${NAME.toLowerCase()}=${token}` })).statusCode, 400);
});

t.test('cookies with other names are ignored', async (t) => {
  const others = [
    'latchkey',
    'x__Host-Http-latchkey',
    `${NAME}2`,
    `${NAME}-theme`,
    '__Host-latchkey',
    '',
    'a',
    'x'.repeat(8000),
    '%'.repeat(100),
  ];
  for (const other of others) {
    t.equal(readCookie(`${other}=evil`, NAME), undefined, other.slice(0, 40));
    t.equal(readCookie(`${other}=evil; ${NAME}=${token}; ${other}=evil`, NAME), token, other.slice(0, 40));
  }
  t.equal(readCookie(undefined, NAME), undefined);
  t.equal(readCookie('', NAME), undefined);
});

t.test('a cookie value is neither decoded, trimmed nor unquoted', async (t) => {
  for (const value of [`"${token}"`, ` ${token}`, `${token} `, encodeURIComponent(`${token}=`), '']) {
    t.equal(readCookie(`${NAME}=${value}`, NAME), value);
    t.match((await get('/auth/session', { cookie: `${NAME}=${value};` })).json(), {
      status: 401,
      code: 'invalid_token',
    });
  }
});
