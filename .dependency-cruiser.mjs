// The layers of src (ARCHITECTURE.md): imports run from an upper layer to a lower one, and never in a cycle.

/** Top layer first. The folders and files of one layer never import each other. */
const layers = [
  ['index', 'server'],
  ['plugin', 'check', 'testing'],
  ['http/auth', 'http/pages', 'http/oauth', 'http/oidc', 'http/admin', 'http/openapi'],
  ['http/flows'],
  ['http/kit'],
  ['sessions', 'identity', 'federation', 'webhooks'],
  ['redis'],
  ['options'],
  ['errors'],
];

const lowestHttpLayer = layers.findIndex(([first]) => first === 'http/kit');
const within = (parts) => `^src/(${parts.join('|')})(/|[.]ts$)`;
const everyPart = within([...layers.flat(), 'client']);

const layerRules = layers.flatMap((parts, level) => [
  {
    name: 'no-upward-import',
    severity: 'error',
    comment: 'Imports run from an upper layer to a lower one.',
    from: { path: within(parts) },
    to: { path: '^src/', pathNot: within(layers.slice(level).flat()) },
  },
  {
    name: 'no-neighbour-import',
    severity: 'error',
    comment: 'The parts of one layer never import each other: what two of them need goes into a lower layer.',
    from: { path: within(parts) },
    to: { path: within(parts), pathNot: '^src/$1(/|[.]ts$)' },
  },
]);

export default {
  forbidden: [
    ...layerRules,
    { name: 'no-cycle', severity: 'error', from: {}, to: { circular: true } },
    // An orphan, which neither imports nor is imported, matches no rule about dependencies.
    ...[{}, { orphan: true }].map((kind) => ({
      name: 'no-folder-without-layer',
      severity: 'error',
      comment: 'A new folder of src gets its layer in .dependency-cruiser.mjs.',
      from: { path: '^src/', pathNot: everyPart, ...kind },
      to: {},
    })),
    {
      name: 'no-http-below-kit',
      severity: 'error',
      comment: 'Nothing below http/kit handles incoming HTTP requests.',
      from: { path: within(layers.slice(lowestHttpLayer + 1).flat()) },
      to: { path: '^(node:)?https?2?$|^node_modules/(fastify|fastify-plugin|@fastify)/' },
    },
    {
      name: 'client-stands-alone',
      severity: 'error',
      comment: 'src/client runs in browsers and imports nothing from outside its folder.',
      from: { path: '^src/client/' },
      to: { pathNot: '^src/client/' },
    },
    {
      name: 'src-stands-alone',
      severity: 'error',
      comment: 'src imports nothing from tests and tools.',
      // A script of the pages imports by URL, in the browser.
      from: { path: '^src/', pathNot: '^src/http/pages/assets/' },
      to: { pathNot: '^src/|^node_modules/', dependencyTypesNot: ['core'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js'],
      mainFields: ['types', 'module', 'main'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
