import { contenders } from '../contenders/index.mjs';
import { better, median, ratio, summary } from '../lib/statistics.mjs';
import { count, figure, percent, table } from './markdown.mjs';

/** For each measure, a function that turns its results into Markdown. */
export const tables = { validate, refresh, script, growth, logout, logins };

function conditions({ machine, options, rounds }) {
  const { cpu, cores, memoryGiB, kernel, node, redis, generator, pinned, date, loadBefore } = machine;
  const roundCount = rounds?.length ?? options.rounds;
  return `${date}: ${cpu}, ${cores} cores, ${memoryGiB} GiB, ${kernel}, Node ${node}, Redis ${redis}, ${generator}; pinned: ${pinned}; load average before ${loadBefore}. Medians of ${roundCount} interleaved rounds.`;
}

function validate(results) {
  const { rounds } = results;
  const medians = summary(rounds);
  const names = Object.keys(medians);
  const over = (name, other) => (names.includes(other) ? `×${figure(better(ratio(rounds, name, other)))}` : '–');
  const rates = table(
    [
      '',
      'requests/s',
      'p50 ms',
      'p99 ms',
      'CPU µs/request',
      'Redis commands/request',
      '÷ bare, rate',
      '÷ bare, CPU',
      'service ÷ this',
      'in host ÷ this',
      'generator busy',
    ],
    names.map((name) => {
      const { rate, p50, p99, cpu, commands, generator, redis } = medians[name];
      const bare = names.includes('bare') ? ratio(rounds, name, 'bare') : undefined;
      const transport = name.endsWith('-bearer') ? '-bearer' : '';
      return [
        contenders[name].label,
        count(rate),
        figure(p50),
        figure(p99),
        figure(cpu),
        figure(commands),
        bare ? figure(bare.rate) : '–',
        bare ? figure(bare.cpu) : '–',
        names.includes(`latchkey${transport}`) ? over(`latchkey${transport}`, name) : '–',
        names.includes(`latchkey-host${transport}`) ? over(`latchkey-host${transport}`, name) : '–',
        percent(generator + redis),
      ];
    }),
  );
  const saturated = names.filter((name) => medians[name].generator > 0.9);
  const truth =
    saturated.length === 0
      ? `The generator was never the limit: wrk took at most ${percent(Math.max(...names.map((name) => medians[name].generator)))} of a core; the last column adds Redis.`
      : `The generator was saturated at ${saturated.join(', ')}: their rates are lower bounds, but the CPU per request is valid.`;
  const configured = names
    .map((name) => `- **${contenders[name].label}**: ${contenders[name].configuration}`)
    .join('\n');
  return `${conditions(results)} ${truth}\n\n${rates}\n\n${configured}`;
}

const REFRESH_LABELS = {
  bare: 'bare Fastify, who am I',
  refresh: 'refresh, always a rotation, redis.conf as it is',
  'refresh-volatile': 'refresh, always a rotation, no append-only file',
  logout: 'logout of one session, redis.conf as it is',
  login: 'login, argon2id, 16 concurrent',
};

function refresh(results) {
  const { rounds } = results;
  const medians = summary(rounds);
  const rows = Object.entries(medians).map(([name, { rate, p50, p99, cpu, redisCpu, scripts, otherCommands }]) => {
    const bare = ratio(rounds, name, 'bare');
    return [
      REFRESH_LABELS[name],
      count(rate),
      figure(p50),
      figure(p99),
      figure(cpu),
      figure(redisCpu),
      figure(scripts),
      figure(otherCommands),
      figure(bare.rate),
      figure(bare.cpu),
    ];
  });
  const header = [
    '',
    'requests/s',
    'p50 ms',
    'p99 ms',
    'CPU µs/request',
    'Redis CPU µs/request',
    'scripts/request',
    'other commands/request',
    '÷ bare, rate',
    '÷ bare, CPU',
  ];
  return `${conditions(results)}\n\n${table(header, rows)}`;
}

const SCRIPT_LABELS = {
  get: 'GET of a missing key',
  empty: 'EVALSHA of an empty script',
  rotate: 'rotation, with deriving and parsing tokens',
};

function script(results) {
  const { rounds } = results;
  const rows = Object.entries(summary(rounds)).map(([name, { rate, clientCpu, redisTime }]) => [
    SCRIPT_LABELS[name],
    count(rate),
    figure(clientCpu),
    figure(redisTime),
    figure(
      ratio(
        rounds.map((round) => withCpu(round)),
        name,
        'empty',
      ).rate,
    ),
  ]);
  return `${conditions(results)} 50 concurrent calls on one connection; times of Redis from commandstats.\n\n${table(['', 'calls/s', 'client CPU µs/call', 'Redis µs/call', '÷ empty script, rate'], rows)}`;
}

function withCpu(round) {
  return Object.fromEntries(
    Object.entries(round).map(([name, { rate, clientCpu }]) => [name, { rate, cpu: clientCpu }]),
  );
}

function growth(results) {
  const { rounds, levels, memory } = results;
  const medians = summary(rounds);
  const [smallest] = levels;
  const rows = levels.map((live) => {
    const cells = ['validate', 'refresh'].flatMap((work) => {
      const { rate, cpu } = medians[`${work} ${live}`];
      return [count(rate), figure(cpu), figure(better(ratio(rounds, `${work} ${live}`, `${work} ${smallest}`)))];
    });
    const { within, after } = memory[live];
    return [count(live), ...cells, within === undefined ? '–' : count(within), count(after)];
  });
  const comparison = `÷ at ${count(smallest)}`;
  const header = [
    'live sessions',
    'validate/s',
    'CPU µs',
    comparison,
    'refresh/s',
    'CPU µs',
    comparison,
    'bytes/session in the grace period',
    'after it',
  ];
  return `${conditions(results)} One session per user, each rotated once; another token with each request. Memory is the growth of Redis's \`used_memory\`, including all keys; it is given for the grace period only if all sessions could be rotated within it.\n\n${table(header, rows)}`;
}

function logout(results) {
  const rows = Object.entries(results.sizes).map(([size, { tookMs, scripts, blockedMs, worst }]) => [
    count(Number(size)),
    figure(tookMs),
    figure(scripts),
    figure(blockedMs),
    figure(worst),
  ]);
  return `${conditions(results)} The longest script of each logout as Redis reports it (slowlog, commandstats), without the disk's part in acknowledging a write.\n\n${table(['sessions', 'logout ms', 'scripts', 'Redis blocked, ms at a time', 'worst round'], rows)}`;
}

function logins(results) {
  const { rounds } = results;
  const medians = summary(rounds);
  const rows = ['saturated', 'paced'].map((name) => {
    const [without, during] = [medians[name], medians[`${name}, 16 logins`]];
    const times = median(rounds.map((round) => round[`${name}, 16 logins`].p99 / round[name].p99));
    const label = name === 'saturated' ? '50 connections, no pause' : '50 connections, 20 ms pause';
    return [
      label,
      count(without.rate),
      figure(without.p50),
      figure(without.p99),
      count(during.rate),
      figure(during.p50),
      figure(during.p99),
      figure(during.logins),
      figure(times),
    ];
  });
  const header = [
    'validation',
    '/s',
    'p50 ms',
    'p99 ms',
    '/s during logins',
    'p50 ms',
    'p99 ms',
    'logins/s',
    'p99 during ÷ without',
  ];
  return `${conditions(results)} The service may use every core.\n\n${table(header, rows)}`;
}
