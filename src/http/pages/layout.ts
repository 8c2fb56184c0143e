import { html } from 'ghtml';
import type { Assets } from './load-assets.js';
import type { Strings } from './strings.js';

/** Branding of the pages. */
export interface Brand {
  readonly name: string;
  /** Path of a stylesheet that overrides the custom properties of `pages.css`. */
  readonly stylesheet?: string | undefined;
}

/** What every page needs for rendering. */
export interface PageContext {
  readonly brand: Brand;
  readonly strings: Strings;
  readonly assets: Pick<Assets, 'stylesheets' | 'scripts'>;
  /** Forms are posted below this path. */
  readonly authPrefix: string;
  /** Where the script redirects once the session has ended. */
  readonly loginPage: string;
}

/** Renders a whole page around `content`, which is HTML; everything else is escaped. */
export function renderLayout({ brand, strings, assets }: PageContext, title: string, content: string): string {
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

/**
 * Renders a message that assistive technology reads out. The element's id is `kind`, for use in `aria-describedby`.
 */
export function renderNotice(kind: 'info' | 'error', text: string | undefined): string {
  if (text === undefined) return '';
  return html`<p id="${kind}" class="notice ${kind}" role="${kind === 'error' ? 'alert' : 'status'}">${text}</p>`;
}
