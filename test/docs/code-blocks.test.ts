import t from 'tap';
import { compileErrors, findBlocks, isChecked } from './code-blocks.js';
import { readPages } from './pages.js';

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

const pages = readPages();
const errors = compileErrors(new Map([...pages, ['docs/wrong.md', WRONG_PAGE]]));
const isOfWrongPage = (error: string) => error.startsWith('docs/wrong.md:');

t.test('every code block names its language', async (t) => {
  for (const [path, markdown] of pages) {
    for (const block of findBlocks(markdown)) {
      t.ok(isChecked(block) || UNCHECKED.includes(block.language), `${path}:${block.line}: "${block.language}"`);
    }
  }
});

t.test('every TypeScript and JavaScript block compiles under strict, against src', async (t) => {
  for (const path of ['README.md', 'docs/plugin.md', 'docs/client.md', 'docs/webhooks.md']) {
    t.ok(findBlocks(pages.get(path)!).some(isChecked), `${path} has a block to check`);
  }
  t.same(
    errors.filter((error) => !isOfWrongPage(error)),
    [],
  );
});

t.test('an error in a block is reported with its page and line', async (t) => {
  t.match(errors.filter(isOfWrongPage), [
    /^docs\/wrong\.md:4: Property 'nothing' does not exist/,
    /^docs\/wrong\.md:8: Parameter 'value' implicitly has an 'any' type/,
  ]);
});
