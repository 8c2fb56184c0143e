import { hash, randomBytes } from 'node:crypto';
import { addAbortListener, EventEmitter, once, setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { LatchkeyError } from '../errors.js';
import type { Keys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';
import { signatureHeaders } from './signature.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Ten attempts over some three days. The first of these is longer than an attempt can take. */
const RETRY_DELAYS_MS = [
  15_000,
  MINUTE_MS,
  4 * MINUTE_MS,
  16 * MINUTE_MS,
  HOUR_MS,
  4 * HOUR_MS,
  16 * HOUR_MS,
  DAY_MS,
  DAY_MS,
];
const TIMEOUT_MS = 10_000;
const POLL_MS = 1_000;
const AT_ONCE = 16;
const CAPACITY = 100_000;
/** Of the stream, from its last event on: longer than every retry takes. */
const LIFETIME_MS = 7 * DAY_MS;
const MOST_UNPUBLISHED = 10_000;
const BATCH = 100;

const publish = defineScript({
  file: new URL('./scripts/publish.lua', import.meta.url),
  keys: ['webhooks'],
  args: ['events', 'groups', 'capacity', 'lifetime'],
  outcomes: ['published'],
});

const take = defineScript({
  file: new URL('./scripts/take.lua', import.meta.url),
  keys: ['webhooks'],
  args: ['group', 'limit', 'delays', 'cursor'],
  outcomes: ['taken', 'none'],
});

const acknowledge = defineScript({
  file: new URL('./scripts/acknowledge.lua', import.meta.url),
  keys: ['webhooks'],
  args: ['group', 'place'],
  outcomes: ['acknowledged', 'unknown'],
});

/** What an endpoint is told: a type in words joined by full stops, and JSON about what happened. */
export interface WebhookEvent {
  readonly type: string;
  readonly data: { readonly [name: string]: unknown };
}

export interface WebhookEndpoint {
  readonly url: string;
  /** Each `whsec_` and base64; messages are signed with all of them. */
  readonly secrets: readonly string[];
}

/** An event did not reach its endpoint: it was refused as often as it was tried, or there were too many to keep. */
export class UndeliveredError extends LatchkeyError {
  constructor(message: string, options?: ErrorOptions) {
    super('webhook_undelivered', message, options);
  }
}

export interface WebhooksOptions {
  /** Told of what goes wrong; Redis that does not answer is asked again, an event that is given up is not. */
  readonly onFault: (error: Error) => void;
  /** How long to wait after each attempt that failed, in milliseconds; one more than these are made. */
  readonly retryDelaysMs?: readonly number[];
  /** Events that are kept until every endpoint has them, roughly. */
  readonly capacity?: number;
  /** How long one attempt may take; shorter than the first delay, or a slow endpoint gets an event twice. */
  readonly timeoutMs?: number;
}

interface Taken {
  readonly place: string;
  readonly attempt: number;
  readonly id: string;
  readonly body: string;
}

/**
 * Sends events to endpoints, signed as Standard Webhooks has it, at least once each.
 *
 * A stream in Redis keeps an event until every endpoint has acknowledged it with a 2xx. Each endpoint is a consumer
 * group, so none waits for another; every process works for all of them, and takes over from those that died.
 */
export class Webhooks {
  readonly #client: RedisClient;
  readonly #key: string;
  readonly #endpoints: readonly (WebhookEndpoint & { readonly group: string })[];
  readonly #options: Required<WebhooksOptions>;
  readonly #unpublished: (readonly [id: string, body: string])[] = [];
  readonly #news = new EventEmitter().setMaxListeners(0);
  readonly #closing = new AbortController();
  readonly #working: Promise<unknown>[];
  #publishing: Promise<void> | undefined;
  #published = 0;

  /** Works from now until it is closed. */
  constructor(client: RedisClient, keys: Keys, endpoints: readonly WebhookEndpoint[], options: WebhooksOptions) {
    this.#client = client;
    this.#key = keys.webhooks();
    this.#endpoints = endpoints.map((endpoint) => ({ ...endpoint, group: groupOf(endpoint.url) }));
    this.#options = { retryDelaysMs: RETRY_DELAYS_MS, timeoutMs: TIMEOUT_MS, capacity: CAPACITY, ...options };
    // Each attempt under way listens; a batch of them is no leak.
    setMaxListeners(0, this.#closing.signal);
    this.#working = this.#endpoints.map((endpoint) => this.#serve(endpoint));
  }

  /** Takes an event on, and never waits: it is published in the background, as soon as Redis answers. */
  publish({ type, data }: WebhookEvent): void {
    if (this.#unpublished.length >= MOST_UNPUBLISHED) {
      return this.#options.onFault(new UndeliveredError(`Too many events wait for Redis: ${type} is dropped`));
    }
    const body = JSON.stringify({ type, timestamp: new Date().toISOString(), data });
    this.#unpublished.push([`evt_${randomBytes(16).toString('base64url')}`, body]);
    this.#publishing ??= this.#publishAll().finally(() => (this.#publishing = undefined));
  }

  /** Publishes what is left, if Redis answers, and ends the attempts under way, which another process repeats. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([this.#publishing, ...this.#working]);
  }

  async #publishAll(): Promise<void> {
    const groups = this.#endpoints.map(({ group }) => group).join(',');
    while (this.#unpublished.length > 0) {
      const events = this.#unpublished.slice(0, BATCH);
      try {
        const { dropped } = await publish(this.#client, {
          keys: { webhooks: this.#key },
          args: { events: JSON.stringify(events), groups, capacity: this.#options.capacity, lifetime: LIFETIME_MS },
        });
        this.#unpublished.splice(0, events.length);
        this.#published++;
        this.#news.emit('published');
        if (Number(dropped) > 0)
          this.#options.onFault(
            new UndeliveredError(`Too many events wait for their endpoints: the ${dropped} oldest are dropped`),
          );
      } catch (error) {
        this.#options.onFault(error as Error);
        if (this.#closing.signal.aborted) return;
        await this.#pause();
      }
    }
  }

  async #serve(endpoint: WebhookEndpoint & { group: string }): Promise<void> {
    let cursor = '-';
    while (!this.#closing.signal.aborted) {
      const seen = this.#published;
      let taken: Taken[] = [];
      try {
        ({ cursor, taken } = await this.#take(endpoint.group, cursor));
        await Promise.all(taken.map((each) => this.#deliver(endpoint, each)));
      } catch (error) {
        this.#options.onFault(error as Error);
      }
      if (taken.length === 0 && seen === this.#published) await this.#pause('published');
    }
  }

  async #take(group: string, cursor: string): Promise<{ cursor: string; taken: Taken[] }> {
    const {
      outcome,
      cursor: next = '-',
      ...events
    } = await take(this.#client, {
      keys: { webhooks: this.#key },
      args: { group, limit: AT_ONCE, delays: this.#options.retryDelaysMs.join(','), cursor },
    });
    const taken = Object.entries(events).map(([place, text]) => {
      const [, attempt, id, body] = /^(\d+) (\S+) (.*)$/s.exec(text) as unknown as [string, string, string, string];
      return { place, attempt: Number(attempt), id, body };
    });
    return { cursor: outcome === 'taken' ? next : '-', taken };
  }

  async #deliver(endpoint: WebhookEndpoint & { group: string }, { place, attempt, id, body }: Taken): Promise<void> {
    const refusal = await this.#send(endpoint, id, body);
    if (refusal !== undefined) {
      if (this.#closing.signal.aborted || attempt <= this.#options.retryDelaysMs.length) return;
      const { origin, pathname } = new URL(endpoint.url);
      this.#options.onFault(
        new UndeliveredError(`${origin}${pathname} refused ${id} ${attempt} times: it is given up`, { cause: refusal }),
      );
    }
    await acknowledge(this.#client, { keys: { webhooks: this.#key }, args: { group: endpoint.group, place } });
  }

  /** Why an attempt failed; undefined if it did not. */
  async #send(endpoint: WebhookEndpoint, id: string, body: string): Promise<unknown> {
    const over = this.#untilClosing();
    const late = setTimeout(() => over.abort(new Error('It did not answer in time')), this.#options.timeoutMs);
    const refusal = await post(endpoint, { id, body }, over.signal).catch((error: unknown) => error);
    clearTimeout(late);
    over.release();
    return refusal;
  }

  /** Waits a second, or until there is news, or until this is closed. */
  async #pause(news?: 'published'): Promise<void> {
    const over = this.#untilClosing();
    const { signal } = over;
    const waiting: Promise<unknown>[] = [sleep(POLL_MS, undefined, { signal })];
    if (news) waiting.push(once(this.#news, news, { signal }));
    await Promise.race(waiting).catch(() => undefined);
    over.abort();
    over.release();
    await Promise.allSettled(waiting);
  }

  /** Aborts when this is closed, or is told to. Of what AbortSignal.any does, something stays for as long as this lives (Node 20). */
  #untilClosing() {
    const controller = new AbortController();
    const listening = addAbortListener(this.#closing.signal, () => controller.abort());
    return {
      signal: controller.signal,
      abort: (reason?: unknown) => controller.abort(reason),
      release: () => listening[Symbol.dispose](),
    };
  }
}

/** Nothing of the answer counts but a 2xx; a redirect is not followed. Gives what is wrong with it. */
async function post(
  { url, secrets }: WebhookEndpoint,
  { id, body }: { id: string; body: string },
  signal: AbortSignal,
): Promise<Error | undefined> {
  const timestamp = Math.floor(Date.now() / 1000);
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'latchkey',
    ...signatureHeaders(secrets, { id, timestamp, body }),
  };
  const response = await fetch(url, { method: 'POST', redirect: 'manual', headers, body, signal });
  await response.body?.cancel();
  return response.ok ? undefined : new Error(`It answered ${response.status}`);
}

/** The consumer group of an endpoint: for people its host, for uniqueness a digest of the whole URL. */
function groupOf(url: string): string {
  return `${new URL(url).host}-${hash('sha256', url, 'base64url').slice(0, 12)}`;
}
