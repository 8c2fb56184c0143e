import type { AnySchemaObject } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import type { OpenApi, Operation } from './document.js';

/** A generated request for an operation of an OpenAPI document. */
export interface Generated {
  path: string;
  method: string;
  /** Path and query, as sent. */
  target: string;
  headers: Record<string, string>;
  body: string | undefined;
}

/** Builds the headers of a credential, good or bad. */
export type Credentials = () => Record<string, string>;

const NASTY = fc.constantFrom(
  '',
  '\u0000',
  '__proto__',
  'constructor',
  "'; FLUSHALL --",
  '{}:*',
  '../..',
  '%00',
  '\ud800',
  '\u202e',
  '\r\nx: y',
  '💥'.repeat(300),
  'x'.repeat(20_000),
  '-1',
  '1e999',
);
const TEXT = fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.string({ maxLength: 20 }), NASTY);

/** Generates values that match the types of a schema; other keywords are ignored. */
export function valuesOf(schema: AnySchemaObject): fc.Arbitrary<unknown> {
  if ('const' in schema) return fc.constant(schema.const);
  if (schema.enum) return fc.constantFrom(...(schema.enum as unknown[]));
  const choices = (schema.anyOf ?? schema.oneOf) as AnySchemaObject[] | undefined;
  if (choices) return fc.oneof(...choices.map(valuesOf));
  switch (schema.type) {
    case 'object': {
      const properties = (schema.properties ?? {}) as Record<string, AnySchemaObject>;
      const entries = Object.entries(properties).map(([name, each]) => [name, valuesOf(each)]);
      return fc.record(Object.fromEntries(entries) as Record<string, fc.Arbitrary<unknown>>, {
        requiredKeys: (schema.required ?? []) as string[],
      });
    }
    case 'array':
      return fc.array(valuesOf((schema.items ?? {}) as AnySchemaObject), { maxLength: 4 });
    case 'string':
      return fc.oneof({ arbitrary: fc.string({ minLength: 1, maxLength: 16 }), weight: 3 }, TEXT);
    case 'integer':
    case 'number':
      return fc.integer();
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return fc.jsonValue();
  }
}

/** Generates bodies as text: most match the schema or almost do, the rest are malformed. */
function bodies(schema: AnySchemaObject, type: string): fc.Arbitrary<string> {
  const fits = valuesOf(schema);
  const almost = fc
    .tuple(
      fits,
      fc.constantFrom(
        ...Object.keys((schema.properties ?? { a: 0 }) as object),
        '__proto__',
        'constructor',
        'role',
        'subject',
      ),
      fc.jsonValue(),
    )
    .map(([value, name, other]) =>
      typeof value === 'object' && value !== null
        ? JSON.stringify(value).replace(
            /\}$/,
            `${Object.keys(value).length ? ',' : ''}${JSON.stringify(name)}:${JSON.stringify(other)}}`,
          )
        : JSON.stringify(other),
    );
  const asText = fits.map((value) => {
    if (type === 'application/json') return JSON.stringify(value);
    const pairs = Object.entries(value as object).map(([name, each]): [string, string] => [
      name,
      (typeof each === 'string' ? each : String(JSON.stringify(each))).toWellFormed(),
    ]);
    return new URLSearchParams(pairs).toString();
  });
  const broken = fc.oneof(
    TEXT,
    fc.json(),
    fc.constantFrom('{', '[]', 'null', '""', '{"a":', '\ufeff{}', '['.repeat(5_000), `{"a":${'1'.repeat(9_000)}}`),
  );
  return fc.oneof({ arbitrary: asText, weight: 5 }, { arbitrary: almost, weight: 3 }, { arbitrary: broken, weight: 2 });
}

const METHODS = ['get', 'post', 'delete', 'patch', 'put'];
const asPathSegment = (text: string) => encodeURIComponent(text.toWellFormed().slice(0, 900));

/** Generates requests for every operation of a document. */
export function requestsOf(
  { paths }: OpenApi,
  credentials: readonly Credentials[],
  ids: () => string[],
): fc.Arbitrary<Generated> {
  const cookiesAndSites = fc.record(
    {
      'sec-fetch-site': fc.constantFrom('same-origin', 'same-site', 'cross-site', 'none', 'x'),
      origin: fc.constantFrom('http://localhost', 'https://evil.example', 'null'),
      'user-agent': fc.constantFrom(
        'curl/8',
        'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
        '"}\u00ff',
        'x'.repeat(3_000),
      ),
      accept: fc.constantFrom('*/*', 'text/html', 'application/json;q=0', ';;'),
      'x-forwarded-for': fc.constantFrom('198.51.100.1', ',,', '::1'),
      'x-forwarded-method': fc.constant('GET'),
      'x-forwarded-uri': fc.constantFrom('/account', '//evil.example', 'x', `/${'a'.repeat(3_000)}`),
    },
    { requiredKeys: [] },
  );

  function requestsFor(
    path: string,
    method: string,
    { parameters = [], requestBody }: Operation,
  ): fc.Arbitrary<Generated> {
    const [declared, media] = Object.entries(requestBody?.content ?? {})[0] ?? [];
    const types = fc.oneof(
      { arbitrary: fc.constant(declared ?? 'application/json'), weight: 8 },
      fc.constantFrom('text/plain', 'application/json; charset=utf-16', 'multipart/form-data', 'application/jsonx'),
    );
    const body = media
      ? fc.option(bodies(media.schema, declared!), { nil: undefined, freq: 12 })
      : fc.option(TEXT, { nil: undefined, freq: 1 });
    const query = fc.record(
      Object.fromEntries(
        parameters.filter((each) => each.in === 'query').map(({ name, schema }) => [name, valuesOf(schema)]),
      ),
      { requiredKeys: [] },
    );
    return fc
      .tuple(
        types,
        body,
        query,
        cookiesAndSites,
        fc.constantFrom(...credentials),
        fc.oneof(
          TEXT,
          fc.nat().map((n) => ids()[n % ids().length]!),
        ),
        fc.option(TEXT, { nil: undefined, freq: 1 }),
      )
      .map(([type, text, search, more, show, id, extra]) => {
        const pairs = Object.entries(search).map(([name, value]): [string, string] => [
          name,
          String(value).toWellFormed().slice(0, 3_000),
        ]);
        if (extra !== undefined && extra.length < 100) pairs.push([extra.toWellFormed(), 'x']);
        const suffix = pairs.length > 0 ? `?${new URLSearchParams(pairs).toString()}` : '';
        const target = path.replace(/\{\w+\}/g, () => asPathSegment(id) || 'x') + suffix;
        return {
          path,
          method,
          target,
          headers: { ...more, ...show(), ...(text !== undefined && { 'content-type': type }) },
          body: text?.toWellFormed(),
        };
      });
  }

  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    METHODS.flatMap((method) => (methods[method] ? [requestsFor(path, method, methods[method])] : [])),
  );
  return fc.oneof(...operations);
}

const LINES = fc
  .tuple(
    fc.constantFrom(
      'GET',
      'GET',
      'GET',
      'POST',
      'POST',
      'POST',
      'DELETE',
      'HEAD',
      'OPTIONS',
      'TRACE',
      'CONNECT',
      'PRI',
      'get',
      'G\u0000T',
      '',
      'PATCH',
      'PURGE',
    ),
    fc.oneof(
      fc.constantFrom(
        '/auth/session',
        '/auth/login',
        '/auth/refresh',
        '/auth/logout',
        '/auth/verify',
        '/auth/sessions/%00',
        '/auth/continue?to=%2f%2fx',
        '/openapi.json',
        '/docs/',
        '*',
        'http://x/auth/session',
        '//',
        '/%',
        '/%zz',
        '/auth/../auth/session',
        '/\u0000',
        '',
        '/a b',
      ),
      fc.string({ unit: 'binary', maxLength: 60 }).map((text) => `/${text}`),
    ),
    fc.constantFrom(...Array<string>(12).fill('HTTP/1.1'), 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9.9', 'http/1.1', ''),
  )
  .map((parts) => parts.join(' '));

/** Headers about the body and the connection, on which servers and proxies disagree. */
const FRAMING = fc.constantFrom(
  'Content-Length: 5',
  'Content-Length: 5, 5',
  'Content-Length: -1',
  'Content-Length: 99999999999999999999',
  'Content-Length: 0x5',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, identity',
  'Transfer-Encoding : chunked',
  'Transfer-Encoding:\u000bchunked',
  'Expect: 100-continue',
  'Upgrade: h2c',
  'Connection: upgrade',
  'Connection: keep-alive',
  ' folded: header',
  'no colon',
  ': no name',
  'X-Forwarded-For: \u0000',
  `X-Long: ${'x'.repeat(20_000)}`,
);

const HEADERS = fc.oneof(
  fc.constantFrom(
    'Content-Type: application/json',
    'Content-Type: application/json',
    'Content-Type: application/json\ta',
    'Content-Type:',
    'Content-Type: application/x-www-form-urlencoded',
    'Content-Encoding: gzip',
    'Expect: nonsense',
    'Connection: close',
    'Host: y',
    'Authorization: Bearer x',
    'Authorization: Bearer a b',
    'Authorization: bearer',
    'Authorization: Basic Og==',
    'Cookie: __Host-Http-latchkey=a; __Host-Http-latchkey=b',
    'Cookie: =;;=',
    'Cookie: __Http-latchkey-refresh=x',
    'Range: bytes=0-',
    'If-None-Match: *',
    'Sec-Fetch-Site: cross-site',
    'Origin: null',
    'X-Forwarded-Method: GET',
    'X-Forwarded-Uri: //x',
    'Upgrade: websocket',
  ),
  fc
    .tuple(fc.stringMatching(/^[\w-]{1,12}$/), fc.string({ maxLength: 40 }))
    .map(([name, value]) => `${name}: ${value}`),
);

const BODIES = fc.oneof(
  fc.constantFrom(
    '',
    'hello',
    '{"a":1}',
    '5\r\nhello\r\n0\r\n\r\n',
    'ffffffffff\r\n',
    '0\r\nX: y\r\n\r\n',
    '5;ext="\n"\r\nhello\r\n0\r\n\r\n',
    '-1\r\n',
    '{"username":"a","password":"b"}',
  ),
  fc.string({ unit: 'binary', maxLength: 60 }),
);

/** Bytes like those of a request; some have wrong framing or line ends, or are cut off or doubled. */
export const rawRequests: fc.Arbitrary<Buffer> = fc
  .tuple(
    LINES,
    fc.array(HEADERS, { maxLength: 5 }),
    FRAMING,
    BODIES,
    fc.constantFrom(...Array<string>(10).fill('\r\n'), '\n', '\r'),
    fc.nat(400),
    fc.uint8Array({ maxLength: 24 }),
    fc.nat(19),
  )
  .map(([line, headers, framing, body, end, cut, bytes, kind]) => {
    if (kind === 0) return Buffer.from(bytes);
    const framed = kind < 8 ? framing : `Content-Length: ${Buffer.byteLength(body, 'latin1')}`;
    const lines = [line, ...(kind === 1 ? [] : ['Host: x']), ...headers, framed];
    const whole = Buffer.from(lines.map((each) => each + end).join('') + end + body, kind === 2 ? 'utf8' : 'latin1');
    if (kind === 3) return Buffer.concat([whole, whole]);
    return kind === 4 ? whole.subarray(0, cut) : whole;
  });
