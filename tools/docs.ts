// Writes what is generated from the source under docs/.
import { writeFileSync } from 'node:fs';
import { configurationPage } from './configuration-page.js';
import { errorsPage } from './errors-page.js';
import { openapiDocuments } from './openapi-documents.js';

const documents = { 'configuration.md': configurationPage(), 'errors.md': errorsPage(), ...(await openapiDocuments()) };
for (const [name, text] of Object.entries(documents)) writeFileSync(new URL(`../docs/${name}`, import.meta.url), text);
