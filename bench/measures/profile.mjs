import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { contenders, probe } from '../contenders/index.mjs';
import { load } from '../lib/load.mjs';
import { startRedis } from '../lib/processes.mjs';
import { count, percent, table } from '../report/markdown.mjs';

const SECONDS = 4;
const SHOWN = 40;

/** Where a contender's time goes under the validation load: V8's own CPU profile, by function and by package, self time. */
export async function profile({ only, log }) {
  const redis = await startRedis('none');
  for (const name of only) {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-profile-'));
    const server = await contenders[name].start(redis, { cwd: folder, nodeOptions: ['--cpu-prof', '--cpu-prof-interval', '200'] });
    await probe(server);
    const { path, headers, body } = server.request;
    const { requests } = await load(server.origin + path, { headers, args: body ? [body] : [], seconds: SECONDS });
    await server.stop();
    const [file] = readdirSync(folder).filter((each) => each.endsWith('.cpuprofile'));
    log(`\n${contenders[name].label}: ${count(requests / SECONDS)} requests/s while it is profiled\n\n${costs(JSON.parse(readFileSync(join(folder, file), 'utf8')), requests)}`);
    rmSync(folder, { recursive: true, force: true });
  }
  await redis.stop();
}

function costs({ nodes, samples, timeDeltas }, requests) {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const byFunction = new Map();
  const byPackage = new Map();
  let busy = 0;
  samples.forEach((id, i) => {
    const frame = frames.get(id);
    if (frame.functionName === '(idle)') return;
    busy += timeDeltas[i];
    const where = packageOf(frame.url);
    add(byFunction, `${frame.functionName || '(anonymous)'} ${where}${frame.url ? `:${frame.lineNumber + 1}` : ''}`, timeDeltas[i]);
    add(byPackage, where, timeDeltas[i]);
  });
  const rows = (costs) =>
    [...costs].sort(([, a], [, b]) => b - a).slice(0, SHOWN).map(([name, us]) => [name, percent(us / busy), (us / requests).toFixed(2)]);
  return `${table(['part', 'share', 'µs/request'], rows(byPackage).slice(0, 15))}\n\n${table(['function', 'share', 'µs/request'], rows(byFunction))}`;
}

function add(costs, name, us) {
  costs.set(name, (costs.get(name) ?? 0) + us);
}

function packageOf(url) {
  const module = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?:.*\/)?([^/]+)$/.exec(url);
  if (module) return `${module[1]}/${module[2]}`;
  return /\/dist\/(.*)$/.exec(url)?.[1] ?? (url.startsWith('node:') ? url : url ? 'bench' : '(engine)');
}
