// The floors of src (ARCHITECTURE.md): imports run from an upper floor to a lower one, and never in a circle.

/** Top floor first. The rooms of one floor never import one another. */
const floors = [
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

const groundFloorOfHttp = floors.findIndex(([room]) => room === 'http/kit');
const within = (rooms) => `^src/(${rooms.join('|')})(/|[.]ts$)`;
const everyRoom = within([...floors.flat(), 'client']);

const floorRules = floors.flatMap((rooms, level) => [
  {
    name: 'no-upward-import',
    severity: 'error',
    comment: 'Imports run from an upper floor to a lower one.',
    from: { path: within(rooms) },
    to: { path: '^src/', pathNot: within(floors.slice(level).flat()) },
  },
  {
    name: 'no-neighbour-import',
    severity: 'error',
    comment: 'Rooms of the same floor do not know each other: what two of them need belongs on a lower floor.',
    from: { path: within(rooms) },
    to: { path: within(rooms), pathNot: '^src/$1(/|[.]ts$)' },
  },
]);

export default {
  forbidden: [
    ...floorRules,
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-room-without-floor',
      severity: 'error',
      comment: 'A new room of src gets its floor in .dependency-cruiser.mjs.',
      from: { path: '^src/', pathNot: everyRoom },
      to: {},
    },
    {
      name: 'no-http-below-kit',
      severity: 'error',
      comment: 'What lies below http/kit knows nothing of HTTP.',
      from: { path: within(floors.slice(groundFloorOfHttp + 1).flat()) },
      to: { path: '^(node:)?https?2?$|^node_modules/(fastify|fastify-plugin|@fastify)/' },
    },
    {
      name: 'client-stands-alone',
      severity: 'error',
      comment: 'src/client runs in browsers and imports nothing.',
      from: { path: '^src/client/' },
      to: { pathNot: '^src/client/' },
    },
    {
      name: 'src-stands-alone',
      severity: 'error',
      comment: 'The service imports nothing of its tests and tools.',
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
