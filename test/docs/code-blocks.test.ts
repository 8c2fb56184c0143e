import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { type Block, compileErrors, findBlocks, findExamples, isChecked } from './code-blocks.js';
import { readPages, ROOT } from './pages.js';

/** Languages that no compiler is asked about. Code that is not meant to be checked is `text`. */
const UNCHECKED = ['sh', 'http', 'json', 'mermaid', 'text'];

/** A page with an error on lines 4 and 8. */
const WRONG_PAGE = `# A page
\`\`\`ts
import latchkey from 'latchkey';
latchkey.nothing;
\`\`\`
and
\`\`\`js
const port = (value) => value;
\`\`\`
`;

/** A source file with an error on line 5. */
const WRONG_SOURCE = `/**
 * Does nothing.
 *
 * @example
 * app.latchkey.nothing();
 * @returns nothing
 */
`;

const pages = new Map([...readPages()].map(([path, markdown]) => [path, findBlocks(markdown)]));
const sources = readdirSync(`${ROOT}src`, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
const examples = new Map(
  sources.map((path) => [`src/${path}`, findExamples(readFileSync(`${ROOT}src/${path}`, 'utf8'))]),
);

const errors = compileErrors(
  new Map<string, readonly Block[]>([
    ...[...pages].map(([path, blocks]) => [path, blocks.filter(isChecked)] as const),
    ...[...examples].flatMap(([path, blocks]) => blocks.map((block) => [`${path}@${block.line}`, [block]] as const)),
    ['wrong.md', findBlocks(WRONG_PAGE)],
    ['wrong.ts@1', findExamples(WRONG_SOURCE)],
  ]),
);
const isDeliberate = (error: string) => error.startsWith('wrong.');

t.test('every code block names its language', async (t) => {
  for (const [path, blocks] of pages) {
    for (const block of blocks) {
      t.ok(isChecked(block) || UNCHECKED.includes(block.language), `${path}:${block.line}: "${block.language}"`);
    }
  }
});

t.test(
  'every TypeScript and JavaScript block of a page, and every @example of src, compiles under strict',
  async (t) => {
    for (const path of ['README.md', 'docs/plugin.md', 'docs/client.md', 'docs/webhooks.md']) {
      t.ok(pages.get(path)!.some(isChecked), `${path} has a block to check`);
    }
    for (const path of ['src/plugin.ts', 'src/client/index.ts']) {
      t.ok(examples.get(path)!.length > 0, `${path} has an example to check`);
    }
    t.same(
      errors.filter((error) => !isDeliberate(error)),
      [],
    );
  },
);

t.test('an error in a block is reported with its file and line', async (t) => {
  t.match(errors.filter(isDeliberate), [
    /^wrong\.md:4: Property 'nothing' does not exist/,
    /^wrong\.md:8: Parameter 'value' implicitly has an 'any' type/,
    /^wrong\.ts:5: Property 'nothing' does not exist/,
  ]);
});
