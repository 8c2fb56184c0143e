import type { FastifyRequest } from 'fastify';
import t from 'tap';
import { requestSource } from '../../../src/http/kit/request-source.js';
import { cpuMs } from '../../support/cpu.js';

const deviceOf = (agent?: string) =>
  requestSource({ ip: '192.0.2.1', headers: { 'user-agent': agent } } as FastifyRequest).device;

t.test('a User-Agent becomes a short label for people', async (t) => {
  const labels = {
    'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0': 'Firefox 140 · Linux',
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36':
      'Chrome 138 · Windows',
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1':
      'Safari 18 · iOS',
    'curl/8.14.1': 'curl 8',
    MyApp: 'MyApp',
    '(nothing known)': 'unknown',
    '   ': 'unknown',
    '': 'unknown',
  };
  for (const [agent, label] of Object.entries(labels)) t.equal(deviceOf(agent), label, agent);
  t.equal(deviceOf(undefined), 'unknown');
});

t.test('the label is short and quick to compute, whatever User-Agent is sent', async (t) => {
  for (const agent of [
    'x'.repeat(10_000),
    'Firefox/'.repeat(5_000),
    `Mozilla/5.0 (${';'.repeat(15_000)}`,
    '<script>alert(1)</script>',
  ]) {
    let label = '';
    const usedMs = cpuMs(() => (label = deviceOf(agent)));
    t.ok(label.length <= 64);
    t.notMatch(label, /[<>]/);
    t.ok(usedMs < 250, `${usedMs} ms of CPU time`);
  }
});
