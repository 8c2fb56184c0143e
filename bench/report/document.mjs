import { readFileSync, writeFileSync } from 'node:fs';

/** Puts each text between `<!-- name -->` and `<!-- /name -->`. Throws if the document lacks the markers of a text. */
export function fill(file, texts) {
  let document = readFileSync(file, 'utf8');
  for (const [name, text] of Object.entries(texts)) {
    const [opening, closing] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
    const [from, to] = [document.indexOf(opening), document.indexOf(closing)];
    if (from < 0 || to < from) throw new Error(`${file} has no place for ${name}`);
    document = `${document.slice(0, from + opening.length)}\n\n${text}\n\n${document.slice(to)}`;
  }
  writeFileSync(file, document);
}
