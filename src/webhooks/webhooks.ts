import { hash, randomBytes } from 'node:crypto';
import { addAbortListener, EventEmitter, once, setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { LatchkeyError } from '../errors.js';
import type { RedisKeys } from '../redis/keys.js';
import type { RedisClient } from '../redis/script.js';
import { type Delivery, EventStream } from './event-stream.js';
import { signatureHeaders } from './signature.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Ten attempts in about three days. The first delay must be longer than the timeout of an attempt. */
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
const CAPACITY = 100_000;
const MAX_UNPUBLISHED = 10_000;
const MAX_BATCH = 100;

/** A webhook event: a dot-separated type, such as `login.success`, and JSON data. */
export interface WebhookEvent {
  readonly type: string;
  readonly data: { readonly [name: string]: unknown };
}

export interface WebhookEndpoint {
  readonly url: string;
  /** Each is `whsec_` followed by base64. Messages are signed with all of them. */
  readonly secrets: readonly string[];
}

/** An event could not be delivered: every attempt failed, or there were too many events to store. */
export class UndeliveredError extends LatchkeyError {
  constructor(message: string, options?: ErrorOptions) {
    super('webhook_undelivered', message, options);
  }
}

export interface WebhooksOptions {
  /** Called for every error: an UndeliveredError if events are lost, or an error of Redis, after which the
   * operation is retried. */
  readonly onFault: (error: Error) => void;
  /** How long to wait after each failed attempt, in milliseconds. There is one more attempt than delays. */
  readonly retryDelaysMs?: readonly number[];
  /** Approximate maximum number of undelivered events; above it, the oldest are dropped. */
  readonly capacity?: number;
  /** How long an attempt may take. If not shorter than the first delay, a slow endpoint receives events twice. */
  readonly timeoutMs?: number;
}

type Endpoint = WebhookEndpoint & { readonly group: string };

/**
 * Sends events to endpoints, at least once each, signed according to Standard Webhooks.
 *
 * A stream in Redis stores each event until every endpoint has accepted it with a 2xx response, its attempts are used
 * up, or it is dropped because there are too many. Each endpoint is a consumer group,
 * so endpoints do not wait for each other. Every process delivers to all of them, and takes over from processes
 * that died.
 */
export class Webhooks {
  readonly #endpoints: readonly Endpoint[];
  readonly #options: Required<WebhooksOptions>;
  readonly #stream: EventStream;
  readonly #unpublished: (readonly [id: string, body: string])[] = [];
  readonly #events = new EventEmitter().setMaxListeners(0);
  readonly #closing = new AbortController();
  readonly #loops: Promise<unknown>[];
  #publishing: Promise<void> | undefined;
  #batchesPublished = 0;

  /** Starts delivering, and continues until it is closed. */
  constructor(client: RedisClient, keys: RedisKeys, endpoints: readonly WebhookEndpoint[], options: WebhooksOptions) {
    this.#endpoints = endpoints.map((endpoint) => ({ ...endpoint, group: groupOf(endpoint.url) }));
    this.#options = { retryDelaysMs: RETRY_DELAYS_MS, timeoutMs: TIMEOUT_MS, capacity: CAPACITY, ...options };
    this.#stream = new EventStream(client, keys, {
      groups: this.#endpoints.map(({ group }) => group),
      capacity: this.#options.capacity,
      retryDelaysMs: this.#options.retryDelaysMs,
    });
    // Each attempt in progress adds a listener: a large number of them is not a leak.
    setMaxListeners(0, this.#closing.signal);
    this.#loops = this.#endpoints.map((endpoint) => this.#deliverAll(endpoint));
  }

  /** Accepts an event and returns immediately. It is published in the background, as soon as Redis is available. */
  publish({ type, data }: WebhookEvent): void {
    if (this.#unpublished.length >= MAX_UNPUBLISHED) {
      return this.#options.onFault(
        new UndeliveredError(`Too many unpublished events: dropped an event of type ${type}`),
      );
    }
    const body = JSON.stringify({ type, timestamp: new Date().toISOString(), data });
    this.#unpublished.push([`evt_${randomBytes(16).toString('base64url')}`, body]);
    this.#publishing ??= this.#publishAll().finally(() => (this.#publishing = undefined));
  }

  /** Publishes remaining events if Redis is available. Aborts attempts in progress; another process retries them. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([this.#publishing, ...this.#loops]);
  }

  async #publishAll(): Promise<void> {
    while (this.#unpublished.length > 0) {
      const events = this.#unpublished.slice(0, MAX_BATCH);
      try {
        const dropped = await this.#stream.publish(events);
        this.#unpublished.splice(0, events.length);
        this.#batchesPublished++;
        this.#events.emit('published');
        if (dropped > 0)
          this.#options.onFault(new UndeliveredError(`Too many undelivered events: dropped the oldest ${dropped}`));
      } catch (error) {
        this.#options.onFault(error as Error);
        if (this.#closing.signal.aborted) return;
        await this.#pause();
      }
    }
  }

  async #deliverAll(endpoint: Endpoint): Promise<void> {
    let cursor = '-';
    while (!this.#closing.signal.aborted) {
      const batchesBefore = this.#batchesPublished;
      let deliveries: Delivery[] = [];
      try {
        ({ cursor, deliveries } = await this.#stream.claim(endpoint.group, cursor));
        await Promise.all(deliveries.map((delivery) => this.#deliver(endpoint, delivery)));
      } catch (error) {
        this.#options.onFault(error as Error);
      }
      if (deliveries.length === 0 && batchesBefore === this.#batchesPublished) await this.#pause('published');
    }
  }

  async #deliver(endpoint: Endpoint, { entryId, attempt, id, body }: Delivery): Promise<void> {
    const failure = await this.#attempt(endpoint, id, body);
    if (failure !== undefined) {
      if (this.#closing.signal.aborted || attempt <= this.#options.retryDelaysMs.length) return;
      const { origin, pathname } = new URL(endpoint.url);
      this.#options.onFault(
        new UndeliveredError(`Dropped ${id}: ${origin}${pathname} did not accept it in ${attempt} attempts`, {
          cause: failure,
        }),
      );
    }
    await this.#stream.acknowledge(endpoint.group, entryId);
  }

  /** Returns why the attempt failed, or undefined if the endpoint accepted the event. */
  async #attempt(endpoint: WebhookEndpoint, id: string, body: string): Promise<unknown> {
    const scope = this.#createAbortScope();
    const timeout = setTimeout(
      () => scope.abort(new Error('The endpoint did not respond in time')),
      this.#options.timeoutMs,
    );
    const failure = await post(endpoint, { id, body }, scope.signal).catch((error: unknown) => error);
    clearTimeout(timeout);
    scope.release();
    return failure;
  }

  /**
   * Waits until a second has passed, the event `until` is emitted or this is closed, whichever happens first.
   */
  async #pause(until?: 'published'): Promise<void> {
    const scope = this.#createAbortScope();
    const { signal } = scope;
    const waiting: Promise<unknown>[] = [sleep(POLL_MS, undefined, { signal })];
    if (until) waiting.push(once(this.#events, until, { signal }));
    await Promise.race(waiting).catch(() => undefined);
    scope.abort();
    scope.release();
    await Promise.allSettled(waiting);
  }

  /** Creates a signal that aborts on close or on `abort`. AbortSignal.any would leak listeners (Node 20). */
  #createAbortScope() {
    const controller = new AbortController();
    const listening = addAbortListener(this.#closing.signal, () => controller.abort());
    return {
      signal: controller.signal,
      abort: (reason?: unknown) => controller.abort(reason),
      release: () => listening[Symbol.dispose](),
    };
  }
}

/** Posts an event once. Returns an error unless the response is 2xx. Redirects are not followed. */
async function post(
  { url, secrets }: WebhookEndpoint,
  { id, body }: { id: string; body: string },
  signal: AbortSignal,
): Promise<Error | undefined> {
  // The time of this attempt, not of the event: receivers reject messages older than a few minutes.
  const timestamp = Math.floor(Date.now() / 1000);
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'latchkey',
    ...signatureHeaders(secrets, { id, timestamp, body }),
  };
  const response = await fetch(url, { method: 'POST', redirect: 'manual', headers, body, signal });
  await response.body?.cancel();
  return response.ok ? undefined : new Error(`The endpoint responded with ${response.status}`);
}

/** Returns the consumer group of an endpoint: its host, for readability, and a digest of its URL, for uniqueness. */
function groupOf(url: string): string {
  return `${new URL(url).host}-${hash('sha256', url, 'base64url').slice(0, 12)}`;
}
