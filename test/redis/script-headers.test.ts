import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import ts from 'typescript';

const src = fileURLToPath(new URL('../../src/', import.meta.url));

/** The names that a defineScript call gives to a Lua file. */
interface Binding {
  keys: string[];
  args: string[];
  outcomes: string[];
}

interface Definitions {
  /** By the path of the Lua file. */
  bindings: Map<string, Binding>;
  /** The Lua files that other scripts have as their prelude. */
  preludes: Set<string>;
}

function definitionsIn(
  path: string,
  text: string,
  found: Definitions = { bindings: new Map(), preludes: new Set() },
): Definitions {
  const visit = (node: ts.Node): void => {
    const lua = luaFile(node);
    if (lua !== undefined && !(ts.isPropertyAssignment(node.parent) && node.parent.name.getText() === 'file')) {
      found.preludes.add(join(dirname(path), lua));
    }
    if (ts.isCallExpression(node) && node.expression.getText() === 'defineScript') {
      const [definition] = node.arguments;
      const file = luaFile(valueOf(definition, 'file'));
      if (file === undefined) throw new Error(`${path}: defineScript without a file that can be read here`);
      found.bindings.set(join(dirname(path), file), {
        keys: words(valueOf(definition, 'keys')),
        args: words(valueOf(definition, 'args')),
        outcomes: words(valueOf(definition, 'outcomes')),
      });
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true));
  return found;
}

function luaFile(node: ts.Node | undefined): string | undefined {
  if (!node || !ts.isNewExpression(node) || node.expression.getText() !== 'URL') return undefined;
  const [path] = node.arguments ?? [];
  return path && ts.isStringLiteral(path) && path.text.endsWith('.lua') ? path.text : undefined;
}

function valueOf(object: ts.Node | undefined, name: string): ts.Node | undefined {
  if (!object || !ts.isObjectLiteralExpression(object)) return undefined;
  return object.properties.filter(ts.isPropertyAssignment).find((property) => property.name.getText() === name)
    ?.initializer;
}

function words(list: ts.Node | undefined): string[] {
  if (!list || !ts.isArrayLiteralExpression(list)) throw new Error('defineScript without a list that can be read here');
  return list.elements.map((element) => {
    if (!ts.isStringLiteral(element)) throw new Error(`${element.getText()} is not a word`);
    return element.text;
  });
}

const HEADER = /^(?:#!lua .+\n)?-- (\S+): \S.*\.\n-- KEYS: (.+)\n-- ARGV: (.+)\n-- Returns: (outcome '.+)\n(?!--)/;

/** Lists what differs between the header of a script, its first lines of Lua and its binding. */
function findDisagreements(path: string, lua: string, binding: Binding | undefined): string[] {
  const unwrapped = unwrap(lua);
  const header = HEADER.exec(unwrapped);
  if (!header) return ['it does not start with name, KEYS, ARGV and Returns'];
  const [whole, name, keys = '', argv = '', answers = ''] = header;
  if (!binding) return ['no defineScript binds it'];

  const listed = { KEYS: list(keys), ARGV: list(argv) };
  const body = unwrapped.slice(whole.length);
  return [
    ...(name === basename(path, '.lua') ? [] : [`its header calls it ${name}`]),
    ...differ('KEYS: header and binding', listed.KEYS, binding.keys),
    ...differ('ARGV: header and binding', listed.ARGV, binding.args),
    ...differ(
      'Outcomes: header and binding',
      [...answers.matchAll(/'([^']+)'/g)].map((match) => match[1]!).sort(),
      binding.outcomes.toSorted(),
    ),
    ...differ('KEYS: header and Lua', listed.KEYS, boundIn(body, 'KEYS')),
    ...differ('ARGV: header and Lua', listed.ARGV, boundIn(body, 'ARGV')),
  ];
}

/** Joins lists of names that go on in the next line: after `--` and three spaces in a header, after two in Lua. */
function unwrap(lua: string): string {
  return lua.replaceAll('\n--   ', ' ').replaceAll(/,\n {2}(?=[a-zA-Z])/g, ', ');
}

function list(text: string): string[] {
  return text === 'none' ? [] : text.split(', ');
}

function differ(what: string, a: readonly string[], b: readonly string[]): string[] {
  return a.join() === b.join() ? [] : [`${what} differ: ${a.join(', ')} and ${b.join(', ')}`];
}

/** The names that Lua gives to KEYS or ARGV, in order: `local a, b = KEYS[1], tonumber(KEYS[2])` or `= unpack(KEYS)`. */
function boundIn(body: string, table: 'KEYS' | 'ARGV'): string[] {
  const uses = body.split('\n').filter((line) => line.includes(table));
  const [line = ''] = uses;
  if (uses.length === 0) return [];
  const [, left = '', right = ''] = /^local ([\w, ]+) = (.+)$/.exec(line) ?? [];
  const names = left.split(', ');
  const each = names.map((_, index) => `(tonumber\\()?${table}\\[${index + 1}\\]\\)?`).join(', ');
  const all = right === `unpack(${table})` || new RegExp(`^${each}$`).test(right);
  return all && uses.length === 1 ? names : [`<not bound at once: ${uses.join(' / ')}>`];
}

const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).sort();
const definitions: Definitions = { bindings: new Map(), preludes: new Set() };
for (const path of files.filter((path) => path.endsWith('.ts')))
  definitionsIn(path, readFileSync(join(src, path), 'utf8'), definitions);

t.test('the header of every Lua file, its first lines and its defineScript agree on names', async (t) => {
  const paths = files.filter((path) => path.endsWith('.lua'));
  t.ok(paths.length > 0);
  for (const path of paths.filter((path) => !definitions.preludes.has(path))) {
    t.strictSame(
      findDisagreements(path, readFileSync(join(src, path), 'utf8'), definitions.bindings.get(path)),
      [],
      path,
    );
  }
  for (const path of [...definitions.bindings.keys(), ...definitions.preludes])
    t.ok(paths.includes(path), `${path} exists`);
});

t.test('every disagreement between a header, a binding and Lua is found', async (t) => {
  const lua = `-- move: moves a thing.
-- KEYS: from, to
-- ARGV: id, limit
-- Returns: outcome 'moved' with count; or 'gone'
local from, to = KEYS[1], KEYS[2]
local id, limit = ARGV[1], tonumber(ARGV[2])
`;
  const source = `const run = defineScript({
    file: new URL('./scripts/move.lua', import.meta.url),
    prelude: new URL('./scripts/before.lua', import.meta.url),
    keys: ['from', 'to'],
    args: ['id', 'limit'],
    outcomes: ['moved', 'gone'],
  });`;
  const path = 'part/scripts/move.lua';
  const judge = (changedLua: string, changedSource = source) =>
    findDisagreements(path, changedLua, definitionsIn('part/store.ts', changedSource).bindings.get(path));

  t.strictSame(judge(lua), []);
  t.strictSame(judge(lua.replace('ARGV[1], tonumber(ARGV[2])', 'unpack(ARGV)')), []);
  const wrapped = lua
    .replace('ARGV: id, limit', 'ARGV: id,\n--   limit')
    .replace('with count; or', 'with count;\n--   or')
    .replace('local id, limit = ARGV[1], tonumber(ARGV[2])', 'local id,\n  limit = unpack(ARGV)');
  t.strictSame(judge(wrapped), [], 'a list may go on in the next line');
  t.not(judge(wrapped.replace('--   limit', '--   most')).length, 0, 'and is compared there too');
  t.strictSame([...definitionsIn('part/store.ts', source).preludes], ['part/scripts/before.lua']);

  const wrong: Record<string, [lua: string, source?: string]> = {
    'no header': [lua.replace('-- ARGV', '-- Arguments')],
    'a fifth line': [lua.replace('\nlocal', '\n-- More.\nlocal')],
    'another name': [lua.replace('-- move', '-- remove')],
    'keys in another order in the header': [lua.replace('from, to\n', 'to, from\n')],
    'an argument missing from the header': [lua.replace('-- ARGV: id, limit', '-- ARGV: id')],
    'an argument missing from the binding': [lua, source.replace("'id', ", '')],
    'keys in another order in the binding': [lua, source.replace("'from', 'to'", "'to', 'from'")],
    'an outcome that is missing from the header': [lua, source.replace("'gone'", "'gone', 'full'")],
    'no binding': [lua, source.replace('move.lua', 'remove.lua')],
    'keys in another order in Lua': [lua.replace('local from, to', 'local to, from')],
    'indexes in another order in Lua': [lua.replace('KEYS[1], KEYS[2]', 'KEYS[2], KEYS[1]')],
    'an argument used by its number': [`${lua}return ARGV[2]\n`],
    'an argument that is not bound': [lua.replace(', limit = ARGV[1], tonumber(ARGV[2])', ' = ARGV[1]')],
    'arguments where the header has none': [lua.replace('-- ARGV: id, limit', '-- ARGV: none')],
  };
  for (const [name, [changedLua, changedSource]] of Object.entries(wrong)) {
    t.ok(changedLua !== lua || changedSource !== source, `${name}: is a change`);
    t.not(judge(changedLua, changedSource).length, 0, name);
  }
});
