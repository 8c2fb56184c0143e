import { html } from 'ghtml';
import type { Assets } from './load-assets.js';
import type { Strings } from './strings.js';

/** What makes the pages a site's own. */
export interface Brand {
  readonly name: string;
  /** The file of a stylesheet that sets the custom properties of `pages.css`; it is loaded after it. */
  readonly stylesheet?: string | undefined;
}

/** What every page is rendered with. */
export interface PageContext {
  readonly brand: Brand;
  readonly strings: Strings;
  readonly assets: Pick<Assets, 'stylesheets' | 'scripts'>;
  /** Where forms are posted. */
  readonly base: string;
  /** Where a script sends a reader whose session is over. */
  readonly loginPage: string;
}

/** A page's frame. `content` is HTML; everything else is escaped. */
export function layout({ brand, strings, assets }: PageContext, title: string, content: string): string {
  return html`<!doctype html>
<html lang="${strings.language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} · ${brand.name}</title>
!${assets.stylesheets.map((path) => html`<link rel="stylesheet" href="${path}">`).join('\n')}
!${assets.scripts.map((path) => html`<script type="module" src="${path}"></script>`).join('\n')}
</head>
<body>
<header><p class="brand">${brand.name}</p></header>
<main>
<h1>${title}</h1>
!${content}
</main>
</body>
</html>
`;
}

/** A message that assistive technology reads out, by its kind's id also with the field that it is about. */
export function notice(kind: 'info' | 'error', text: string | undefined): string {
  if (text === undefined) return '';
  return html`<p id="${kind}" class="notice ${kind}" role="${kind === 'error' ? 'alert' : 'status'}">${text}</p>`;
}
