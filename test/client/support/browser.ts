import { CookieJar } from 'tough-cookie';
import { type Client, type ClientOptions, createClient } from '../../../src/client/index.js';

type Answered = (request: Request, response: Response) => Promise<void> | void;

let browsers = 0;

/**
 * A browser as the service sees it: a cookie jar that its tabs share, and the header that only browsers can set.
 * Each browser reaches the site at its own loopback address, because a BroadcastChannel reaches the whole process.
 */
export class Browser {
  readonly url: string;
  /** Every answered request in order, as `POST /auth/refresh 200`. */
  readonly log: string[] = [];
  /** Called when an answer arrives, before it takes effect. If it throws, the answer and its cookies are lost. */
  onAnswer: Answered | undefined;
  readonly #site: { port: number };
  readonly #jar = new CookieJar();
  readonly #tabs: Client[] = [];

  constructor(site: { port: number }) {
    this.#site = site;
    this.url = `http://127.0.1.${++browsers}:${site.port}`;
  }

  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    const cookies = await this.#jar.getCookieString(request.url);
    if (cookies) request.headers.set('cookie', cookies);
    request.headers.set('sec-fetch-site', new URL(request.url).origin === this.url ? 'same-origin' : 'cross-site');
    const response = await fetch(request);
    await this.onAnswer?.(request, response);
    for (const cookie of response.headers.getSetCookie()) await this.#jar.setCookie(cookie, request.url);
    this.log.push(`${request.method} ${new URL(request.url).pathname} ${response.status}`);
    return response;
  };

  /** Opens a tab, whose `endings` collect the reasons passed to `onSignedOut`. */
  open(options: ClientOptions = {}): Client & { endings: string[] } {
    const endings: string[] = [];
    const client = createClient({
      baseUrl: `${this.url}/auth`,
      fetch: this.fetch,
      onSignedOut: (reason) => endings.push(reason),
      ...options,
    });
    this.#tabs.push(client);
    return { ...client, endings };
  }

  /** Creates another browser with a copy of the cookies that this one has now. */
  async stolen(): Promise<Browser> {
    const thief = new Browser(this.#site);
    for (const { key, value, path } of await this.#jar.getCookies(`${this.url}/auth/`)) {
      await thief.#jar.setCookie(`${key}=${value}; Path=${path}; Secure; HttpOnly`, thief.url);
    }
    return thief;
  }

  /** Counts how often a line is in the log. */
  count(line: string): number {
    return this.log.filter((each) => each === line).length;
  }

  close(): void {
    for (const tab of this.#tabs) tab.close();
  }
}
