import type { RedisKeys } from '../redis/keys.js';
import { defineScript, type RedisClient } from '../redis/script.js';

const DAY_MS = 24 * 60 * 60_000;

/** How long the stream is kept after its last event; longer than all retries take. */
const LIFETIME_MS = 7 * DAY_MS;
/** Maximum number of new events, and of retries, that one call returns. */
const MAX_CLAIMED = 16;

const publish = defineScript({
  file: new URL('./scripts/publish.lua', import.meta.url),
  keys: ['webhooks'],
  args: ['events', 'groups', 'capacity', 'lifetime'],
  outcomes: ['published'],
});

const claim = defineScript({
  file: new URL('./scripts/claim.lua', import.meta.url),
  keys: ['webhooks'],
  args: ['group', 'limit', 'delays', 'cursor'],
  outcomes: ['claimed', 'none'],
});

const acknowledge = defineScript({
  file: new URL('./scripts/acknowledge.lua', import.meta.url),
  keys: ['webhooks'],
  args: ['group', 'entryId'],
  outcomes: ['acknowledged', 'unknown'],
});

/** An attempt to deliver an event. */
export interface Delivery {
  /** The ID of the entry in the stream. */
  readonly entryId: string;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly id: string;
  readonly body: string;
}

/** The stream in Redis that stores each event until every consumer group has acknowledged it. */
export class EventStream {
  readonly #client: RedisClient;
  readonly #keys: { webhooks: string };
  readonly #groups: string;
  readonly #capacity: number;
  readonly #delays: string;

  /** @param options.retryDelaysMs how long to wait after each failed attempt; there is one more attempt than delays */
  constructor(
    client: RedisClient,
    keys: RedisKeys,
    options: { groups: readonly string[]; capacity: number; retryDelaysMs: readonly number[] },
  ) {
    this.#client = client;
    this.#keys = { webhooks: keys.webhooks() };
    this.#groups = options.groups.join(',');
    this.#capacity = options.capacity;
    this.#delays = options.retryDelaysMs.join(',');
  }

  /** Appends events. Returns how many undelivered events were dropped to make room. */
  async publish(events: readonly (readonly [id: string, body: string])[]): Promise<number> {
    const { dropped } = await publish(this.#client, {
      keys: this.#keys,
      args: {
        events: JSON.stringify(events),
        groups: this.#groups,
        capacity: this.#capacity,
        lifetime: LIFETIME_MS,
      },
    });
    return Number(dropped);
  }

  /**
   * Claims retries that are due, whichever process made the last attempt, then new events.
   *
   * @param cursor where to look for retries: `-`, or what the last call returned.
   */
  async claim(group: string, cursor: string): Promise<{ cursor: string; deliveries: Delivery[] }> {
    const reply = await claim(this.#client, {
      keys: this.#keys,
      args: { group, limit: MAX_CLAIMED, delays: this.#delays, cursor },
    });
    const { outcome, cursor: next = '-', ...entries } = reply;
    if (outcome === 'none') return { cursor: '-', deliveries: [] };
    return { cursor: next, deliveries: Object.entries(entries).map(parseDelivery) };
  }

  /** Acknowledges an event for a group. It is deleted once all groups have acknowledged it. */
  async acknowledge(group: string, entryId: string): Promise<void> {
    await acknowledge(this.#client, { keys: this.#keys, args: { group, entryId } });
  }
}

function parseDelivery([entryId, entry]: [string, string]): Delivery {
  const [, attempt, id, body] = /^(\d+) (\S+) (.*)$/s.exec(entry) as unknown as [string, string, string, string];
  return { entryId, attempt: Number(attempt), id, body };
}
