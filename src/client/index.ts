import { createLock } from './lock.js';
import { type FetchArguments, prepareRepeat, rejectOnAbort, resolveUrl } from './requests.js';
import { needsRenewal, readError, readJson, throwUnavailable } from './responses.js';
import type { Client, ClientOptions, Device, Session, SignedOutReason } from './types.js';

export { LatchkeyClientError } from './responses.js';
export type { Client, ClientOptions, Credentials, Device, LogoutScope, Session, SignedOutReason } from './types.js';

/** What tabs tell one another: that the session was renewed, began, was found by a request, or ended. */
type Message = ['renewed' | 'login' | 'found', expiresIn: number] | ['out', reason: SignedOutReason];
type Renewal = 'here' | 'elsewhere' | 'signed out';
interface Tokens {
  expires_in: number;
  session: Session;
}

const ANSWER_TIMEOUT_MS = 30_000;
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Timers may fire a little early. */
const TIMER_TOLERANCE_MS = 100;
const REAUTHENTICATE = 'reauthentication_required';

/**
 * Creates a client for the pages of one browser. It never sees a token; all tabs share one session.
 *
 * @example
 * const client = createClient({ onSignedOut: (reason) => location.assign(`/login?reason=${reason}`) });
 * await client.login({ username: 'ada', password: 'correct horse battery staple' });
 * const orders = await client.fetch('/api/orders');
 */
export function createClient({
  baseUrl = '/auth',
  onSignedOut = () => {},
  refreshAhead = false,
  lockTimeoutMs = 5_000,
  fetch: send = (...request) => fetch(...request),
}: ClientOptions = {}): Client {
  const base = resolveUrl(baseUrl.replace(/\/$/, ''));
  const sharedName = `latchkey:${base.href}`;
  const channel = new BroadcastChannel(sharedName);
  const withLock = createLock(sharedName, lockTimeoutMs);
  const aheadSeconds = refreshAhead === true ? 60 : Number(refreshAhead);

  let renewals = 0;
  let logins = 0;
  let signedOut = false;
  let closed = false;
  let ownSessionId: string | undefined;
  let ownSubject: string | undefined;
  let renewal: Promise<Renewal> | undefined;
  let dueAt = Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const broadcast = (...message: Message) => closed || channel.postMessage(message);

  channel.onmessage = ({ data: [event, value] }: MessageEvent<Message>) => {
    if (event === 'out') return void confirmEnd(value, false).catch(() => {});
    if (event === 'found') return recordSession(value);
    if (event === 'login') logins++;
    recordRenewal(value);
  };

  function recordRenewal(expiresIn: number): void {
    renewals++;
    recordSession(expiresIn);
  }

  /** Records that there is a session, and schedules its renewal. `expiresIn` is in seconds. */
  function recordSession(expiresIn: number): void {
    signedOut = false;
    clearTimeout(timer);
    if (!aheadSeconds || closed) return;
    // Spread over half of the time ahead, so that many tabs do not renew at once.
    const ahead = Math.min(aheadSeconds, expiresIn / 2) * (1 - Math.random() / 2);
    const delayMs = Math.max(1 + Math.random(), expiresIn - ahead) * 1_000;
    dueAt = Date.now() + delayMs - TIMER_TOLERANCE_MS;
    timer = setTimeout(renewIfDue, Math.min(delayMs, MAX_TIMER_MS));
  }

  function renewIfDue(): void {
    if (signedOut || Date.now() < dueAt || globalThis.document?.visibilityState === 'hidden') return;
    renew(renewals).catch(() => {});
  }

  globalThis.document?.addEventListener('visibilitychange', renewIfDue);

  async function request(method: string, path: string, body?: object): Promise<Response> {
    return send(base.href + path, {
      method,
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    }).catch(throwUnavailable);
  }

  /** Renews the access token, unless a tab has done so since `knownRenewals` was read. */
  function renew(knownRenewals: number): Promise<Renewal> {
    renewal ??= withLock(async () => (knownRenewals === renewals ? refresh() : 'elsewhere')).finally(
      () => (renewal = undefined),
    );
    return renewal;
  }

  async function refresh(): Promise<'here' | 'signed out'> {
    const response = await request('POST', '/refresh');
    if (response.ok) {
      adoptTokens(await readJson(response), 'renewed');
      return 'here';
    }
    const error = await readError(response);
    if (error.code !== REAUTHENTICATE) throw error;
    return (await confirmEnd(error.reason ?? 'unknown', true)) ? 'signed out' : 'here';
  }

  function adoptTokens({ expires_in, session }: Tokens, event: 'renewed' | 'login'): Session {
    if (event === 'login') logins++;
    adoptSession(session);
    recordRenewal(expires_in);
    broadcast(event, expires_in);
    return session;
  }

  function adoptSession({ session_id, subject }: Session): void {
    // A different user has logged in without a client, such as by a form.
    if (ownSubject && ownSubject !== subject) logins++;
    ownSubject = subject;
    ownSessionId = session_id;
  }

  /**
   * Signs out if the service confirms that there is no session. A late answer about an old session may arrive after a
   * new one has begun, so only the present state counts.
   */
  async function confirmEnd(reason: SignedOutReason, tellOthers: boolean): Promise<boolean> {
    if (signedOut) return true;
    const loginsBefore = logins;
    const response = await request('GET', '/session');
    if (response.ok) return false;
    if (response.status !== 401) throw await readError(response);
    if (loginsBefore === logins) signOut(reason, tellOthers);
    return signedOut;
  }

  function signOut(reason: SignedOutReason, tellOthers: boolean): void {
    if (signedOut) return;
    signedOut = true;
    clearTimeout(timer);
    if (tellOthers) broadcast('out', reason);
    void Promise.resolve(reason).then(onSignedOut);
  }

  /** Sends a request that starts or ends sessions, under the lock. */
  function requestWithLock(method: string, path: string, body?: object): Promise<Response> {
    return withLock(async () => {
      let response = await request(method, path, body);
      if ((await needsRenewal(response)) && (await refresh()) === 'here') response = await request(method, path, body);
      return requireOk(response);
    });
  }

  async function requireOk(response: Response): Promise<Response> {
    if (response.ok) return response;
    const error = await readError(response);
    if (error.code === REAUTHENTICATE) await confirmEnd(error.reason ?? 'unknown', true);
    throw error;
  }

  const isOwnOrigin = (url: string | URL) => resolveUrl(url).origin === base.origin;

  async function fetchWithRenewal(...[input, init]: FetchArguments): Promise<Response> {
    const given = typeof input === 'object' && 'url' in input ? input : undefined;
    if (!isOwnOrigin(given?.url ?? (input as string | URL))) return send(input, init);

    const repeat = prepareRepeat(input, init);
    const loginsBefore = logins;
    let knownRenewals = renewals;
    let response = await send(input, init);
    for (let attempt = 0; attempt < 2; attempt++) {
      if (!isOwnOrigin(response.url || base) || !(await needsRenewal(response))) break;
      const outcome = await rejectOnAbort(renew(knownRenewals), init?.signal ?? given?.signal);
      // After another login, repeating might send the request in the name of a different user.
      if (outcome === 'signed out' || !repeat || loginsBefore !== logins) break;
      knownRenewals = renewals;
      void response.body?.cancel();
      response = await send(...repeat());
      if (outcome === 'here') break;
    }
    return response;
  }

  const get = (path: string) =>
    fetchWithRenewal(base.href + path, { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) }).catch(throwUnavailable);

  return {
    fetch: fetchWithRenewal,
    login: ({ username, password }) =>
      withLock(async () => {
        const response = await requireOk(await request('POST', '/login', { username, password }));
        return adoptTokens(await readJson(response), 'login');
      }),
    register: async ({ username, password }) =>
      readJson(await requireOk(await request('POST', '/register', { username, password }))),
    async logout(scope = 'all') {
      await requestWithLock('POST', '/logout', { scope });
      if (scope !== 'others') signOut('logged_out', true);
    },
    async session() {
      const wasSignedOut = signedOut;
      let response = await get('/session');
      // Ask again if a login happened meanwhile.
      if (response.status === 401 && !signedOut) response = await request('GET', '/session');
      if (response.status === 401) return undefined;
      const session = await readJson<Session>(await requireOk(response));
      const expiresIn = session.expires_at - Date.parse(response.headers.get('date')!) / 1_000;
      // Ignore the answer if the session has ended meanwhile.
      if (wasSignedOut || !signedOut) {
        if (ownSessionId !== session.session_id) broadcast('found', expiresIn);
        adoptSession(session);
        recordSession(expiresIn);
      }
      return session;
    },
    async sessions() {
      const { sessions } = await readJson<{ sessions: Device[] }>(await requireOk(await get('/sessions')));
      ownSessionId = sessions.find(({ current }) => current)?.id;
      return sessions;
    },
    async endSession(id) {
      await requestWithLock('DELETE', `/sessions/${encodeURIComponent(id)}`);
      if (id === ownSessionId) signOut('logged_out', true);
    },
    changePassword: async ({ currentPassword, newPassword }) => {
      const passwords = { current_password: currentPassword, new_password: newPassword };
      return adoptTokens(await readJson(await requestWithLock('POST', '/password', passwords)), 'renewed');
    },
    close() {
      closed = true;
      clearTimeout(timer);
      channel.close();
      globalThis.document?.removeEventListener('visibilitychange', renewIfDue);
    },
  };
}
