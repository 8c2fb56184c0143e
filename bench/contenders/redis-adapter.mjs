import { Redis } from 'ioredis';

const client = new Redis(process.env.REDIS_URL, { keyPrefix: 'oidc:' });

/** The part of oidc-provider's adapter interface that introspection uses: one string per model, like its Redis example. */
export class RedisAdapter {
  #model;

  constructor(model) {
    this.#model = model;
  }

  async upsert(id, payload, expiresIn) {
    const expiry = expiresIn ? ['EX', expiresIn] : [];
    await client.set(this.#key(id), JSON.stringify(payload), ...expiry);
  }

  async find(id) {
    const stored = await client.get(this.#key(id));
    return stored === null ? undefined : JSON.parse(stored);
  }

  async destroy(id) {
    await client.del(this.#key(id));
  }

  #key(id) {
    return `${this.#model}:${id}`;
  }
}
