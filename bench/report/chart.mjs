import { contenders } from '../contenders/index.mjs';
import { summary } from '../lib/statistics.mjs';
import { count } from './markdown.mjs';

const ROW = 26;
const LABELS = 250;
const BARS = 430;
const WIDTH = LABELS + BARS + 90;

const STYLE = `
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 } .bar { fill: #8c959f } .ours { fill: #0969da } .limit { fill: #d0d7de }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar { fill: #6e7681 } .ours { fill: #4493f8 } .limit { fill: #3d444d } }`;

/** The rates of the contenders as bars, the fastest first; bearer variants are only in the table. */
export function chart({ rounds, machine }) {
  const rates = Object.entries(summary(rounds))
    .filter(([name]) => !name.endsWith('-bearer'))
    .map(([name, { rate }]) => ({ name, rate }))
    .sort((a, b) => b.rate - a.rate);
  const height = 40 + rates.length * ROW + 24;
  const bars = rates.map(({ name, rate }, i) => {
    const y = 40 + i * ROW;
    const width = Math.max(1, Math.round((rate / rates[0].rate) * BARS));
    const kind = name === 'bare' ? 'limit' : name.startsWith('latchkey') ? 'ours' : 'bar';
    return `<text x="${LABELS - 8}" y="${y + 14}" text-anchor="end">${escaped(contenders[name].label)}</text><rect class="${kind}" x="${LABELS}" y="${y}" width="${width}" height="19" rx="2"/><text x="${LABELS + width + 6}" y="${y + 14}">${count(rate)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="Requests per second behind a valid session">
<style>${STYLE}
</style>
<text class="title" x="8" y="20">Requests per second behind a valid session, one server core</text>
${bars.join('\n')}
<text x="8" y="${height - 8}">${escaped(`Node ${machine.node}, Redis ${machine.redis}, 50 keep-alive connections, ${machine.date}`)}</text>
</svg>
`;
}

function escaped(text) {
  return text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
}
