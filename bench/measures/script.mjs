import { startPeer, startRedis } from '../lib/processes.mjs';
import { interleaved } from '../lib/rounds.mjs';

/** The rotation script alone, compared with an EVALSHA of an empty script and a GET, on both sides of the connection. */
export async function script({ rounds, seconds, log }) {
  const redis = await startRedis('none');
  const caller = await startPeer(redis, { script: './script-caller.mjs' });
  const turn = (call, command) => async () => {
    const before = await usecOf(redis, command);
    caller.child.send({ call, seconds });
    const { rate, clientCpu } = await new Promise((resolve) => caller.child.once('message', resolve));
    const after = await usecOf(redis, command);
    return { rate, clientCpu, redisTime: (after.usec - before.usec) / (after.calls - before.calls) };
  };
  const turns = { get: turn('get', 'get'), empty: turn('empty', 'evalsha'), rotate: turn('rotate', 'evalsha') };
  const results = await interleaved(turns, { rounds, log });
  await caller.stop();
  await redis.stop();
  return { rounds: results };
}

/** How long Redis has spent on a command, in microseconds, according to commandstats. */
export async function usecOf({ client }, command) {
  const found = new RegExp(`^cmdstat_${command}:calls=(\\d+),usec=(\\d+)`, 'm').exec(await client.info('commandstats'));
  return { calls: Number(found?.[1] ?? 0), usec: Number(found?.[2] ?? 0) };
}
