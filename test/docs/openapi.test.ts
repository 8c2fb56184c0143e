import { readFileSync } from 'node:fs';
import t from 'tap';
import { openapiDocuments } from '../../tools/openapi-documents.js';

t.test(
  'docs/openapi.json and docs/openapi-internal.json are what npm run docs writes, and change only on purpose',
  async (t) => {
    for (const [name, document] of Object.entries(await openapiDocuments())) {
      t.same(
        JSON.parse(readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')),
        JSON.parse(document),
        name,
      );
    }
  },
);
