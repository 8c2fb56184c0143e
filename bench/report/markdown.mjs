/** A Markdown table with aligned columns: the first to the left, the others to the right. */
export function table(header, rows) {
  const all = [header, ...rows].map((row) => row.map(String));
  const widths = header.map((_, column) => Math.max(3, ...all.map((row) => [...row[column]].length)));
  const line = (row) => `| ${row.map((cell, i) => padded(cell, widths[i], i > 0)).join(' | ')} |`;
  const rule = `| ${widths.map((width, i) => (i > 0 ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width))).join(' | ')} |`;
  return [line(all[0]), rule, ...all.slice(1).map(line)].join('\n');
}

function padded(cell, width, right) {
  const space = ' '.repeat(width - [...cell].length);
  return right ? space + cell : cell + space;
}

export const count = (value) => Math.round(value).toLocaleString('en');

/** Three significant digits, never in exponents. */
export const figure = (value) => (value >= 100 ? count(value) : String(Number(value.toPrecision(3))));

export const percent = (share) => `${Math.round(share * 100)} %`;
