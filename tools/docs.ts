// Writes the documents that are generated from the source, and the golden pages that a test compares with.
import { mkdirSync, writeFileSync } from 'node:fs';
import { configurationPage } from './configuration-page.js';
import { errorsPage } from './errors-page.js';
import { openapiDocuments } from './openapi-documents.js';
import { renderedPages } from './rendered-pages.js';

const documents = { 'configuration.md': configurationPage(), 'errors.md': errorsPage(), ...(await openapiDocuments()) };
for (const [name, text] of Object.entries(documents)) writeFileSync(new URL(`../docs/${name}`, import.meta.url), text);

const rendered = new URL('../test/http/pages/rendered/', import.meta.url);
mkdirSync(rendered, { recursive: true });
for (const [name, page] of Object.entries(renderedPages())) writeFileSync(new URL(name, rendered), page);
