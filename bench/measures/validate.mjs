import { contenders, probe } from '../contenders/index.mjs';
import { load } from '../lib/load.mjs';
import { accounted, startRedis } from '../lib/processes.mjs';
import { interleaved } from '../lib/rounds.mjs';

/** 'Who am I' behind a valid session, for every contender. Redis has no append-only file, to the advantage of the peers that write. */
export async function validate({ rounds, seconds, only, log }) {
  const names = Object.keys(contenders).filter((name) => !only || only.includes(name));
  const redis = await startRedis('none');
  const servers = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await contenders[name].start(redis)])),
  );
  log(`  ${names.length} contenders have started`);

  const turn = (server) => async () => {
    await probe(server);
    const { path, headers, body, script, lines } = server.request;
    const result = await accounted({ server, redis }, () =>
      load(server.origin + path, { script, lines, headers, args: body ? [body] : [], seconds }),
    );
    await probe(server);
    const commands = Object.values(result.commands).reduce((sum, calls) => sum + calls, 0);
    return {
      rate: result.rate,
      p50: result.p50,
      p99: result.p99,
      cpu: result.serverCpu / result.requests,
      commands: commands / result.requests,
      generator: result.generatorCpu / result.durationUs,
      redis: result.redisCpu / result.durationUs,
    };
  };
  const turns = Object.fromEntries(names.map((name) => [name, turn(servers[name])]));
  const results = await interleaved(turns, { rounds, log });

  await Promise.all(Object.values(servers).map((server) => server.stop()));
  await redis.stop();
  return { rounds: results };
}
