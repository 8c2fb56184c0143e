import { createLock } from './lock.js';
import { type FetchArguments, prepareRetry, rejectOnAbort, resolveUrl } from './requests.js';
import { needsRefresh, readError, readJson, throwUnavailable } from './responses.js';
import type { Client, ClientOptions, Device, Session, SignedOutReason } from './types.js';

export { LatchkeyClientError } from './responses.js';
export type { Client, ClientOptions, Credentials, Device, LogoutScope, Session, SignedOutReason } from './types.js';

/** Messages between tabs: the session was refreshed, started by a login, found by a request, or ended. */
type Message = ['renewed' | 'login' | 'found', expiresIn: number] | ['out', reason: SignedOutReason];
type RefreshOutcome = 'by this tab' | 'by other tab' | 'logged out';
interface TokensResponse {
  expires_in: number;
  session: Session;
}

const RESPONSE_TIMEOUT_MS = 30_000;
const MAX_TIMER_MS = 2 ** 31 - 1;
/** Timers may fire a little early. */
const TIMER_TOLERANCE_MS = 100;
const REAUTHENTICATE = 'reauthentication_required';

/**
 * Creates a client for a browser. It has no access to the tokens; all tabs share one session.
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
  fetch: sendRequest = (...request) => fetch(...request),
}: ClientOptions = {}): Client {
  const base = resolveUrl(baseUrl.replace(/\/$/, ''));
  const sharedName = `latchkey:${base.href}`;
  const channel = new BroadcastChannel(sharedName);
  const withLock = createLock(sharedName, lockTimeoutMs);
  const refreshAheadSeconds = refreshAhead === true ? 60 : Number(refreshAhead);

  let refreshCount = 0;
  let loginCount = 0;
  let loggedOut = false;
  let closed = false;
  let currentSessionId: string | undefined;
  let currentSubject: string | undefined;
  let pendingRefresh: Promise<RefreshOutcome> | undefined;
  let refreshDueAt = Infinity;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const broadcast = (...message: Message) => closed || channel.postMessage(message);

  channel.onmessage = ({ data: [event, value] }: MessageEvent<Message>) => {
    if (event === 'out') return void logOutIfEnded(value, false).catch(() => {});
    if (event === 'found') return recordSession(value);
    if (event === 'login') loginCount++;
    recordRefresh(value);
  };

  function recordRefresh(expiresIn: number): void {
    refreshCount++;
    recordSession(expiresIn);
  }

  /** Records that there is a session, and schedules its refresh. `expiresIn` is in seconds. */
  function recordSession(expiresIn: number): void {
    loggedOut = false;
    clearTimeout(timer);
    if (!refreshAheadSeconds || closed) return;
    // Random, within half of that time, so that tabs do not all refresh at the same moment.
    const ahead = Math.min(refreshAheadSeconds, expiresIn / 2) * (1 - Math.random() / 2);
    const delayMs = Math.max(1 + Math.random(), expiresIn - ahead) * 1_000;
    refreshDueAt = Date.now() + delayMs - TIMER_TOLERANCE_MS;
    timer = setTimeout(refreshIfDue, Math.min(delayMs, MAX_TIMER_MS));
  }

  function refreshIfDue(): void {
    if (loggedOut || Date.now() < refreshDueAt || globalThis.document?.visibilityState === 'hidden') return;
    refresh(refreshCount).catch(() => {});
  }

  globalThis.document?.addEventListener('visibilitychange', refreshIfDue);

  async function request(method: string, path: string, body?: object): Promise<Response> {
    return sendRequest(base.href + path, {
      method,
      signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS),
      ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    }).catch(throwUnavailable);
  }

  /** Refreshes the session, unless a tab has done so since `knownRefreshCount` was read. */
  function refresh(knownRefreshCount: number): Promise<RefreshOutcome> {
    pendingRefresh ??= withLock(async () =>
      knownRefreshCount === refreshCount ? requestRefresh() : 'by other tab',
    ).finally(() => (pendingRefresh = undefined));
    return pendingRefresh;
  }

  async function requestRefresh(): Promise<'by this tab' | 'logged out'> {
    const response = await request('POST', '/refresh');
    if (response.ok) {
      adoptSession(await readJson(response), 'renewed');
      return 'by this tab';
    }
    const error = await readError(response);
    if (error.code !== REAUTHENTICATE) throw error;
    return (await logOutIfEnded(error.reason ?? 'unknown', true)) ? 'logged out' : 'by this tab';
  }

  function adoptSession({ expires_in, session }: TokensResponse, event: 'renewed' | 'login'): Session {
    if (event === 'login') loginCount++;
    recordUser(session);
    recordRefresh(expires_in);
    broadcast(event, expires_in);
    return session;
  }

  function recordUser({ session_id, subject }: Session): void {
    // Another user has logged in without this client, for example through a form.
    if (currentSubject && currentSubject !== subject) loginCount++;
    currentSubject = subject;
    currentSessionId = session_id;
  }

  /**
   * Logs out if the service confirms that there is no session. It is asked again because a late response about an old
   * session may arrive after a new one has started.
   */
  async function logOutIfEnded(reason: SignedOutReason, notifyTabs: boolean): Promise<boolean> {
    if (loggedOut) return true;
    const loginsBefore = loginCount;
    const response = await request('GET', '/session');
    if (response.ok) return false;
    if (response.status !== 401) throw await readError(response);
    if (loginsBefore === loginCount) logOut(reason, notifyTabs);
    return loggedOut;
  }

  function logOut(reason: SignedOutReason, notifyTabs: boolean): void {
    if (loggedOut) return;
    loggedOut = true;
    clearTimeout(timer);
    if (notifyTabs) broadcast('out', reason);
    void Promise.resolve(reason).then(onSignedOut);
  }

  /** Sends a request that starts or ends sessions, under the lock. Refreshes and retries if necessary. */
  function requestUnderLock(method: string, path: string, body?: object): Promise<Response> {
    return withLock(async () => {
      let response = await request(method, path, body);
      if ((await needsRefresh(response)) && (await requestRefresh()) === 'by this tab')
        response = await request(method, path, body);
      return requireOk(response);
    });
  }

  async function requireOk(response: Response): Promise<Response> {
    if (response.ok) return response;
    const error = await readError(response);
    if (error.code === REAUTHENTICATE) await logOutIfEnded(error.reason ?? 'unknown', true);
    throw error;
  }

  const isOwnOrigin = (url: string | URL) => resolveUrl(url).origin === base.origin;

  async function fetchWithRefresh(...[input, init]: FetchArguments): Promise<Response> {
    const inputRequest = typeof input === 'object' && 'url' in input ? input : undefined;
    if (!isOwnOrigin(inputRequest?.url ?? (input as string | URL))) return sendRequest(input, init);

    const retry = prepareRetry(input, init);
    const loginsBefore = loginCount;
    let knownRefreshCount = refreshCount;
    let response = await sendRequest(input, init);
    for (let attempt = 0; attempt < 2; attempt++) {
      if (!isOwnOrigin(response.url || base) || !(await needsRefresh(response))) break;
      const outcome = await rejectOnAbort(refresh(knownRefreshCount), init?.signal ?? inputRequest?.signal);
      // After another login, a retry might send the request on behalf of a different user.
      if (outcome === 'logged out' || !retry || loginsBefore !== loginCount) break;
      knownRefreshCount = refreshCount;
      void response.body?.cancel();
      response = await sendRequest(...retry());
      if (outcome === 'by this tab') break;
    }
    return response;
  }

  const get = (path: string) =>
    fetchWithRefresh(base.href + path, { signal: AbortSignal.timeout(RESPONSE_TIMEOUT_MS) }).catch(throwUnavailable);

  return {
    fetch: fetchWithRefresh,
    login: ({ username, password }) =>
      withLock(async () => {
        const response = await requireOk(await request('POST', '/login', { username, password }));
        return adoptSession(await readJson(response), 'login');
      }),
    register: async ({ username, password }) =>
      readJson(await requireOk(await request('POST', '/register', { username, password }))),
    async logout(scope = 'all') {
      await requestUnderLock('POST', '/logout', { scope });
      if (scope !== 'others') logOut('logged_out', true);
    },
    async session() {
      const wasLoggedOut = loggedOut;
      let response = await get('/session');
      // Ask again if the user has logged in in the meantime.
      if (response.status === 401 && !loggedOut) response = await request('GET', '/session');
      if (response.status === 401) return undefined;
      const session = await readJson<Session>(await requireOk(response));
      const expiresIn = session.expires_at - Date.parse(response.headers.get('date')!) / 1_000;
      // Ignore the response if the session has ended since.
      if (wasLoggedOut || !loggedOut) {
        if (currentSessionId !== session.session_id) broadcast('found', expiresIn);
        recordUser(session);
        recordSession(expiresIn);
      }
      return session;
    },
    async sessions() {
      const { sessions } = await readJson<{ sessions: Device[] }>(await requireOk(await get('/sessions')));
      currentSessionId = sessions.find(({ current }) => current)?.id;
      return sessions;
    },
    async endSession(id) {
      await requestUnderLock('DELETE', `/sessions/${encodeURIComponent(id)}`);
      if (id === currentSessionId) logOut('logged_out', true);
    },
    changePassword: async ({ currentPassword, newPassword }) => {
      const passwords = { current_password: currentPassword, new_password: newPassword };
      // A new session, but of the same user, so requests in progress may be retried.
      return adoptSession(await readJson(await requestUnderLock('POST', '/password', passwords)), 'renewed');
    },
    close() {
      closed = true;
      clearTimeout(timer);
      channel.close();
      globalThis.document?.removeEventListener('visibilitychange', refreshIfDue);
    },
  };
}
