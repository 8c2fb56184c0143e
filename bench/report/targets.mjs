import { better, median, ratio } from '../lib/statistics.mjs';
import { count, figure, table } from './markdown.mjs';

const PEERS = [
  ['@fastify/jwt HS256', 'jwt-hs256', 2],
  ['@fastify/session, defaults', 'fastify-session', 4],
  ['@fastify/session, rolling off', 'fastify-session-fixed', 2.5],
  ['express-session', 'express-session', 8],
  ['oidc-provider introspection', 'oidc-provider', 8],
  ['better-auth through its API', 'better-auth-api', 12],
];

/** The targets that the results cover, with what was measured and by how much it misses. */
export function targets({ validate, refresh, growth, logout, logins }) {
  const rows = [
    ...(validate ? validation(validate.rounds) : []),
    ...(refresh ? [atLeast('refresh over HTTP ÷ bare Fastify', 0.15, ratio(refresh.rounds, 'refresh', 'bare'))] : []),
    ...(growth ? growthRows(growth) : []),
    ...(logout ? blocking(logout.sizes) : []),
    ...(logins ? [p99DuringLogins(logins.rounds)] : []),
  ];
  return table(['', 'target', 'measured', ''], rows);
}

function validation(rounds) {
  const has = (...names) => names.every((name) => name in rounds[0]);
  const rows = [];
  const add = (label, target, one, other) => {
    if (has(one, other)) rows.push(atLeast(label, target, ratio(rounds, one, other)));
  };
  add('validate ÷ bare Fastify, as a service', 0.7, 'latchkey', 'bare');
  add('validate ÷ bare Fastify, inside a host application', 0.8, 'latchkey-host', 'bare');
  for (const [label, peer, target] of PEERS) {
    add(`÷ ${label}, as a service`, target, 'latchkey', peer);
    add(`÷ ${label}, inside a host application`, target, 'latchkey-host', peer);
  }
  add('÷ the same service with one GET per request', 1.25, 'latchkey', 'one-get');
  return rows;
}

function growthRows({ rounds, levels, memory }) {
  const [smallest, largest] = [levels[0], levels.at(-1)];
  const weighed = levels.filter((live) => memory[live].within !== undefined).at(-1);
  return [
    atLeast(
      `validate at ${count(largest)} live sessions ÷ at ${count(smallest)}`,
      0.85,
      ratio(rounds, `validate ${largest}`, `validate ${smallest}`),
    ),
    atMost(`bytes per live session after a rotation, at ${count(largest)}`, 1200, memory[largest].after),
    ...(weighed
      ? [atMost(`the same within the grace period, at ${count(weighed)}`, 1200, memory[weighed].within)]
      : []),
  ];
}

function blocking(sizes) {
  const largest = Object.keys(sizes).at(-1);
  return [
    atMost('Redis blocked by a logout of 100 sessions, ms', 0.5, sizes[100].blockedMs),
    atMost(
      `Redis blocked by a logout of ${count(Number(largest))} sessions, ms at a time, worst round`,
      2,
      sizes[largest].worst,
    ),
  ];
}

function p99DuringLogins(rounds) {
  return atMost(
    'validate p99 during 16 concurrent logins ÷ without',
    2,
    median(rounds.map((round) => round['saturated, 16 logins'].p99 / round.saturated.p99)),
  );
}

function atLeast(label, target, measured) {
  const best = better(measured);
  return [
    label,
    `≥ ${target}`,
    `${figure(best)} (rate ${figure(measured.rate)}, CPU ${figure(measured.cpu)})`,
    verdict(best >= target, 1 - best / target),
  ];
}

function atMost(label, target, measured) {
  return [
    label,
    `≤ ${count(target) === '0' || target % 1 ? target : count(target)}`,
    figure(measured),
    verdict(measured <= target, measured / target - 1),
  ];
}

function verdict(reached, missedBy) {
  return reached ? 'reached' : `missed by ${Math.ceil(missedBy * 100)} %`;
}
