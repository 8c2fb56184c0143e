import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contenders, probe } from '../contenders/index.mjs';
import { load } from '../lib/load.mjs';
import { startRedis } from '../lib/processes.mjs';
import { count, percent, table } from '../report/markdown.mjs';

const SECONDS = 4;
const SHOWN = 30;
const OURS = / (ioredis|redis-parser|sessions|http|redis)\/| plugin\.js/;

/** Where a contender's time goes under the validation load: V8's CPU profile, self time by function and by package. */
export async function profile({ only }) {
  const redis = await startRedis('none');
  const texts = [];
  for (const name of only) {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-profile-'));
    const server = await contenders[name].start(redis, {
      cwd: folder,
      nodeOptions: ['--cpu-prof', '--cpu-prof-interval', '200'],
    });
    await probe(server);
    const { path, headers, body } = server.request;
    const { requests } = await load(server.origin + path, { headers, args: body ? [body] : [], seconds: SECONDS });
    await server.stop();
    const [file] = readdirSync(folder).filter((each) => each.endsWith('.cpuprofile'));
    const costly = costs(JSON.parse(readFileSync(join(folder, file), 'utf8')), requests);
    texts.push(`## ${contenders[name].label}\n\n${count(requests / SECONDS)} requests/s while profiled.\n\n${costly}`);
    rmSync(folder, { recursive: true, force: true });
  }
  await redis.stop();
  return texts.join('\n\n');
}

function costs({ nodes, samples, timeDeltas, endTime, startTime }, requests) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  for (const node of nodes) for (const child of node.children ?? []) byId.get(child).parent = node;
  const functions = new Map();
  const packages = new Map();
  const loadBegan = endTime - SECONDS * 1e6;
  let at = startTime;
  let busy = 0;
  samples.forEach((id, i) => {
    at += timeDeltas[i];
    const node = byId.get(id);
    // Leaves out what the process did at start.
    if (at < loadBegan || node.callFrame.functionName === '(idle)') return;
    busy += timeDeltas[i];
    add(packages, packageOf(node.callFrame.url), 'self', timeDeltas[i]);
    add(functions, nameOf(node), 'self', timeDeltas[i]);
    for (const name of new Set(stackOf(node).map(nameOf))) add(functions, name, 'total', timeDeltas[i]);
  });
  const share = (us) => [percent(us / busy), (us / requests).toFixed(2)];
  const largest = (costs, figure, many) => [...costs].sort(([, a], [, b]) => b[figure] - a[figure]).slice(0, many);
  const ours = [...functions].filter(([name]) => OURS.test(name));
  return [
    table(
      ['part', 'share', 'µs/request'],
      largest(packages, 'self', 15).map(([name, { self }]) => [name, ...share(self)]),
    ),
    table(
      ['function, itself', 'share', 'µs/request'],
      largest(functions, 'self', SHOWN).map(([name, { self }]) => [name, ...share(self)]),
    ),
    table(
      ['function of ours or of ioredis, with what it calls', 'share', 'µs/request'],
      largest(ours, 'total', 25).map(([name, { total }]) => [name, ...share(total)]),
    ),
  ].join('\n\n');
}

function stackOf(node) {
  const stack = [];
  for (let each = node; each; each = each.parent) stack.push(each);
  return stack;
}

function nameOf({ callFrame: { functionName, url, lineNumber } }) {
  return `${functionName || '(anonymous)'} ${packageOf(url)}${url ? `:${lineNumber + 1}` : ''}`;
}

function add(costs, name, figure, us) {
  const cost = costs.get(name) ?? { self: 0, total: 0 };
  cost[figure] += us;
  costs.set(name, cost);
}

function packageOf(url) {
  const module = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?:.*\/)?([^/]+)$/.exec(url);
  if (module) return `${module[1]}/${module[2]}`;
  return /\/dist\/(.*)$/.exec(url)?.[1] ?? (url.startsWith('node:') ? url : url ? 'bench' : '(engine)');
}
