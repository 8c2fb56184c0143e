/** Why a session ended, in the words of the service: `logged_out`, `password_changed`, `reused`, `missing` … */
export type SignedOutReason = string;

/** A session, as the service tells it. Instants are seconds since 1970. */
export interface Session {
  session_id: string;
  subject: string;
  username?: string;
  /** When the user last proved who they are. */
  authenticated_at: number;
  /** How (RFC 8176). */
  methods: string[];
  /** When the access token expires; it is renewed then, so this is no end of the session. */
  expires_at: number;
  client_id?: string;
  scope?: string;
  data?: Record<string, unknown>;
}

/** One of the user's sessions. Instants are seconds since 1970. */
export interface Device {
  id: string;
  /** Whether it is the session of this browser. */
  current: boolean;
  /** A label for people, such as `Firefox 140 · Linux`. */
  device: string;
  /** The network address of its last renewal. */
  address: string;
  methods: string[];
  authenticated_at: number;
  created_at: number;
  renewed_at: number;
  /** Its absolute end. */
  ends_at: number;
}

export interface Credentials {
  username: string;
  password: string;
}

/** Which sessions of the user end: all, the one of this browser, or all but that one. */
export type LogoutScope = 'all' | 'session' | 'others';

export interface ClientOptions {
  /** Where the service's routes are, on the page's own origin; `/auth` by default. */
  baseUrl?: string;
  /** Called once in every tab when the session is over, whoever ended it and wherever, until the next login. */
  onSignedOut?: (reason: SignedOutReason) => void;
  /** Seconds before its expiry that the access token of a visible tab is renewed; `true` is 60, and `false` the default. */
  refreshAhead?: boolean | number;
  /** How long to wait for another tab's refresh, login, logout or password change before going on without; 5,000. */
  lockTimeoutMs?: number;
  /** Sends the requests; the global `fetch` by default. */
  fetch?: typeof fetch;
}

export interface Client {
  /**
   * `fetch` that renews an expired access token once and repeats the request. What is not of this origin, or cannot
   * be sent twice, is not repeated: see docs/client.md.
   *
   * @throws {LatchkeyClientError} when the access token has expired and the service cannot be asked to renew it.
   */
  fetch: typeof fetch;
  /** @throws {LatchkeyClientError} `invalid_credentials` for a wrong username or password. */
  login(credentials: Credentials): Promise<Session>;
  /** Makes a user; it does not log in. */
  register(credentials: Credentials): Promise<{ subject: string; username: string }>;
  /** @param scope `all` by default: every session of the user ends. */
  logout(scope?: LogoutScope): Promise<void>;
  /** The session of this browser, renewed if need be; undefined when there is none. */
  session(): Promise<Session | undefined>;
  sessions(): Promise<Device[]>;
  /** @throws {LatchkeyClientError} `not_found` when the user has no such session (any more). */
  endSession(id: string): Promise<void>;
  /** Every session of the user ends; this browser gets a new one. */
  changePassword(passwords: { currentPassword: string; newPassword: string }): Promise<Session>;
  /** Stops renewing ahead and listening to the other tabs. */
  close(): void;
}

/** What the service refused, or `unavailable` when it gave no answer. */
export class LatchkeyClientError extends Error {
  override readonly name = 'LatchkeyClientError';
  /** Stable: those of docs/errors.md, or `unavailable`. */
  readonly code: string;
  /** The HTTP status, 0 without an answer. */
  readonly status: number;
  /** Why, with some codes: the reason that a session ended, or what is wrong with a password. */
  readonly reason: string | undefined;

  constructor(
    code: string,
    status: number,
    { detail = code, reason, cause }: { detail?: string; reason?: string | undefined; cause?: unknown } = {},
  ) {
    super(detail, { cause });
    this.code = code;
    this.status = status;
    this.reason = reason;
  }
}

type Message = ['renewed' | 'login' | 'found', expiresIn: number] | ['out', reason: SignedOutReason];
type Renewal = 'here' | 'elsewhere' | 'signed out';
interface Tokens {
  expires_in: number;
  session: Session;
}
type Sending = Parameters<typeof fetch>;

const ANSWER_TIMEOUT_MS = 30_000;
const MAX_TIMER_MS = 2 ** 31 - 1;
const REAUTHENTICATE = 'reauthentication_required';
const BODIES = [Blob, FormData, URLSearchParams, ArrayBuffer];

/** A client for the pages of one browser. It never sees a token; all tabs share one session. */
export function createClient({
  baseUrl = '/auth',
  onSignedOut = () => {},
  refreshAhead = false,
  lockTimeoutMs = 5_000,
  fetch: send = (...request) => fetch(...request),
}: ClientOptions = {}): Client {
  const base = absolute(baseUrl.replace(/\/$/, ''));
  const shared = `latchkey:${base.href}`;
  const channel = new BroadcastChannel(shared);
  const secondsAhead = refreshAhead === true ? 60 : Number(refreshAhead);

  let renewals = 0;
  let logins = 0;
  let signedOut = false;
  let closed = false;
  let ownId: string | undefined;
  let user: string | undefined;
  let renewing: Promise<Renewal> | undefined;
  let queue: Promise<unknown> = Promise.resolve();
  let dueAt = Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const tell = (...message: Message) => closed || channel.postMessage(message);

  channel.onmessage = ({ data: [event, value] }: MessageEvent<Message>) => {
    if (event === 'out') return void confirmEnd(value, false).catch(() => {});
    if (event === 'found') return signedIn(value);
    if (event === 'login') logins++;
    renewed(value);
  };

  function renewed(expiresIn: number): void {
    renewals++;
    signedIn(expiresIn);
  }

  function signedIn(expiresIn: number): void {
    signedOut = false;
    clearTimeout(timer);
    if (!secondsAhead || closed) return;
    // Anywhere in the first half of the time that is ahead, so that many tabs do not go at once.
    const ahead = Math.min(secondsAhead, expiresIn / 2) * (1 - Math.random() / 2);
    const delay = Math.max(1 + Math.random(), expiresIn - ahead) * 1_000;
    // Timers may be early by a little.
    dueAt = Date.now() + delay - 100;
    timer = setTimeout(renewAhead, Math.min(delay, MAX_TIMER_MS));
  }

  function renewAhead(): void {
    if (signedOut || Date.now() < dueAt || globalThis.document?.visibilityState === 'hidden') return;
    renew(renewals).catch(() => {});
  }

  globalThis.document?.addEventListener('visibilitychange', renewAhead);

  /** One at a time in this browser, or without the Web Locks API in this tab, which the service copes with. */
  function locked<T>(work: () => Promise<T>): Promise<T> {
    const locks = globalThis.navigator?.locks;
    if (!locks) {
      const turn = queue.then(work);
      queue = turn.catch(() => {});
      return turn;
    }
    let begun = false;
    const begin = () => {
      begun = true;
      return work();
    };
    return locks.request(shared, { signal: AbortSignal.timeout(lockTimeoutMs) }, begin).catch((error: unknown) => {
      if (begun) throw error;
      return work();
    });
  }

  async function ask(method: string, path: string, body?: object): Promise<Response> {
    return send(base.href + path, {
      method,
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    }).catch(unavailable);
  }

  /** Renews, unless somebody has done so since `seen`. */
  function renew(seen: number): Promise<Renewal> {
    renewing ??= locked(async () => (seen === renewals ? refresh() : 'elsewhere')).finally(
      () => (renewing = undefined),
    );
    return renewing;
  }

  async function refresh(): Promise<'here' | 'signed out'> {
    const response = await ask('POST', '/refresh');
    if (response.ok) {
      begin(await answer(response), 'renewed');
      return 'here';
    }
    const error = await refusal(response);
    if (error.code !== REAUTHENTICATE) throw error;
    return (await confirmEnd(error.reason ?? 'unknown', true)) ? 'signed out' : 'here';
  }

  function begin({ expires_in, session }: Tokens, event: 'renewed' | 'login'): Session {
    if (event === 'login') logins++;
    know(session);
    renewed(expires_in);
    tell(event, expires_in);
    return session;
  }

  function know({ session_id, subject }: Session): void {
    // Another has logged in by another way than a client's.
    if (user && user !== subject) logins++;
    user = subject;
    ownId = session_id;
  }

  /** A verdict on an old session may arrive late, when a new one has begun: what counts is what is so now. */
  async function confirmEnd(reason: SignedOutReason, isFirst: boolean): Promise<boolean> {
    if (signedOut) return true;
    const before = logins;
    const response = await ask('GET', '/session');
    if (response.ok) return false;
    if (response.status !== 401) throw await refusal(response);
    if (before === logins) end(reason, isFirst);
    return signedOut;
  }

  function end(reason: SignedOutReason, isFirst: boolean): void {
    if (signedOut) return;
    signedOut = true;
    clearTimeout(timer);
    if (isFirst) tell('out', reason);
    void Promise.resolve(reason).then(onSignedOut);
  }

  /** A request that ends or begins sessions, alone in this browser. */
  function alone(method: string, path: string, body?: object): Promise<Response> {
    return locked(async () => {
      let response = await ask(method, path, body);
      if ((await hasExpired(response)) && (await refresh()) === 'here') response = await ask(method, path, body);
      return accepted(response);
    });
  }

  async function accepted(response: Response): Promise<Response> {
    if (response.ok) return response;
    const error = await refusal(response);
    if (error.code === REAUTHENTICATE) await confirmEnd(error.reason ?? 'unknown', true);
    throw error;
  }

  const isOurs = (url: string | URL) => absolute(url).origin === base.origin;

  async function fetchRenewing(...[input, init]: Sending): Promise<Response> {
    const request = typeof input === 'object' && 'url' in input ? input : undefined;
    if (!isOurs(request?.url ?? (input as string | URL))) return send(input, init);

    const repeated = repeatable(input, init);
    const before = logins;
    let seen = renewals;
    let response = await send(input, init);
    for (let attempt = 0; attempt < 2; attempt++) {
      if (!isOurs(response.url || base) || !(await hasExpired(response))) break;
      const renewal = await unlessAborted(renew(seen), init?.signal ?? request?.signal);
      // After another login it might go out in somebody else's name.
      if (renewal === 'signed out' || !repeated || before !== logins) break;
      seen = renewals;
      void response.body?.cancel();
      response = await send(...repeated());
      if (renewal === 'here') break;
    }
    return response;
  }

  const get = (path: string) =>
    fetchRenewing(base.href + path, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) }).catch(unavailable);

  return {
    fetch: fetchRenewing,
    login: ({ username, password }) =>
      locked(async () =>
        begin(await answer(await accepted(await ask('POST', '/login', { username, password }))), 'login'),
      ),
    register: async ({ username, password }) =>
      answer(await accepted(await ask('POST', '/register', { username, password }))),
    async logout(scope = 'all') {
      await alone('POST', '/logout', { scope });
      if (scope !== 'others') end('logged_out', true);
    },
    async session() {
      const wasOut = signedOut;
      let response = await get('/session');
      // A login got in between.
      if (response.status === 401 && !signedOut) response = await ask('GET', '/session');
      if (response.status === 401) return undefined;
      const session = await answer<Session>(await accepted(response));
      const expiresIn = session.expires_at - Date.parse(response.headers.get('date')!) / 1_000;
      // Unless it has ended since.
      if (wasOut || !signedOut) {
        if (ownId !== session.session_id) tell('found', expiresIn);
        know(session);
        signedIn(expiresIn);
      }
      return session;
    },
    async sessions() {
      const { sessions } = await answer<{ sessions: Device[] }>(await accepted(await get('/sessions')));
      ownId = sessions.find(({ current }) => current)?.id;
      return sessions;
    },
    async endSession(id) {
      await alone('DELETE', `/sessions/${encodeURIComponent(id)}`);
      if (id === ownId) end('logged_out', true);
    },
    changePassword: async ({ currentPassword, newPassword }) => {
      const passwords = { current_password: currentPassword, new_password: newPassword };
      return begin(await answer(await alone('POST', '/password', passwords)), 'renewed');
    },
    close() {
      closed = true;
      clearTimeout(timer);
      channel.close();
      globalThis.document?.removeEventListener('visibilitychange', renewAhead);
    },
  };
}

function absolute(url: string | URL): URL {
  return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
}

/** What sends a request again, its body as it was; undefined when only a first sending can be right. */
function repeatable(...[input, init]: Sending): (() => Sending) | undefined {
  const body = init?.body;
  if (body) {
    if (typeof body !== 'string' && !ArrayBuffer.isView(body) && !BODIES.some((kind) => body instanceof kind))
      return undefined;
    const copy = new Request(input, init);
    return () => [copy.clone()];
  }
  // Not every browser has Request.body.
  const bodyless =
    typeof input === 'string' || !('url' in input) || input.body === null || /^(GET|HEAD)$/.test(input.method);
  return bodyless ? () => [input, init] : undefined;
}

/** Whether a new access token would help: the answer says that this one is of no use, or that there was none. */
async function hasExpired(response: Response): Promise<boolean> {
  if (response.status !== 401) return false;
  const challenge = response.headers.get('www-authenticate') ?? '';
  const error = /\berror="?(\w+)/.exec(challenge)?.[1];
  if (error) return error === 'invalid_token';
  const { code } = await problem(response.clone());
  return code ? code === 'authentication_required' || code === 'invalid_token' : /\bbearer\b/i.test(challenge);
}

async function refusal(response: Response): Promise<LatchkeyClientError> {
  const { code = 'unavailable', ...rest } = await problem(response);
  return new LatchkeyClientError(code, response.status, rest);
}

interface ProblemBody {
  code?: string;
  detail?: string;
  reason?: string;
}

/** The members of an RFC 9457 problem; none if it is something else, from a proxy perhaps. */
async function problem(response: Response): Promise<ProblemBody> {
  if (!/json/.test(response.headers.get('content-type') ?? '')) return {};
  const body = (await response.json().catch(() => null)) as ProblemBody | null;
  return body ?? {};
}

function answer<T>(response: Response): Promise<T> {
  return response.json().catch(unavailable) as Promise<T>;
}

function unavailable(cause: unknown): never {
  throw cause instanceof LatchkeyClientError ? cause : new LatchkeyClientError('unavailable', 0, { cause });
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | null | undefined): Promise<T> {
  if (!signal) return work;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}
