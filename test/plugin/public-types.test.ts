import { join } from 'node:path';
import t from 'tap';
import ts from 'typescript';

const root = join(import.meta.dirname, '../..');
const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => ts.sys.readFile(path)) as {
  config: object;
};
const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
const FIXTURE = join(import.meta.dirname, 'an-entry-point.ts');

/** An entry point that forgets types, in each of the ways that its declarations can mention one. */
const FORGETFUL = `
interface Option { readonly nested: Nested }
type Nested = 'a' | 'b';
interface Answer { readonly at: number }
class Base { readonly of: Parameter | undefined }
interface Parameter { readonly name: string }
interface Hidden { readonly hidden: true }
class Engine {
  #secret: Hidden | undefined;
  private also: Hidden | undefined;
  picked(): Answer { const hidden: Hidden | undefined = this.#secret ?? this.also; return { at: Number(hidden) }; }
  skipped(): Hidden | undefined { return this.#secret; }
}
export interface Options { readonly option?: Partial<Option> }
export interface Api extends Pick<Engine, 'picked'> { list<Parameter>(given: Parameter): Promise<readonly string[]> }
export class Derived extends Base {}
export function inferred() { return 1; }
`;

/** Finds types of src that the declarations exported by an entry point mention without exporting them. */
function findUnexported(program: ts.Program, entry: string): { checked: number; unexported: string[] } {
  const checker = program.getTypeChecker();
  const resolve = (symbol: ts.Symbol) =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
  const exported = new Set(
    checker.getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(entry)!)!).map(resolve),
  );
  const seen = new Set<ts.Symbol>();
  const unexported = new Set<string>();
  for (const symbol of exported) visitSymbol(symbol);
  return { checked: seen.size, unexported: [...unexported] };

  function visitSymbol(symbol: ts.Symbol): void {
    if (seen.has(symbol)) return;
    seen.add(symbol);
    for (const declaration of symbol.declarations!) visit(declaration);
  }

  function visit(node: ts.Node): void {
    if (isPrivate(node) || ts.isBlock(node) || ts.isTypeQueryNode(node)) return;
    if (ts.isFunctionDeclaration(node) || ts.isMethodDeclaration(node) || ts.isVariableDeclaration(node)) {
      // What is inferred cannot be followed here, and reads badly in an editor.
      if (!node.type) unexported.add(`the type of ${node.name!.getText()}`);
    }
    if (ts.isVariableDeclaration(node) || ts.isPropertyDeclaration(node) || ts.isParameter(node)) {
      if (node.type) visit(node.type);
      return;
    }
    if (ts.isTypeReferenceNode(node)) {
      if (node.typeName.getText() === 'Pick') return visitPick(node.typeArguments!);
      visitName(node.typeName);
    }
    if (ts.isExpressionWithTypeArguments(node)) {
      if (node.expression.getText() === 'Pick') return visitPick(node.typeArguments!);
      visitName(node.expression);
    }
    ts.forEachChild(node, visit);
  }

  function visitName(name: ts.Node): void {
    const symbol = resolve(checker.getSymbolAtLocation(name)!);
    if (symbol.flags & ts.SymbolFlags.TypeParameter || !isOurs(symbol)) return;
    if (!exported.has(symbol)) unexported.add(symbol.name);
    visitSymbol(symbol);
  }

  /** Of a picked type only the members count, not its name. */
  function visitPick([type, keys]: ts.NodeArray<ts.TypeNode>): void {
    const names = checker.getTypeFromTypeNode(keys!);
    for (const name of names.isUnion() ? names.types : [names]) {
      const member = checker.getTypeFromTypeNode(type!).getProperty((name as ts.StringLiteralType).value)!;
      for (const declaration of member.declarations!) visit(declaration);
    }
  }
}

function isPrivate(node: ts.Node): boolean {
  return (
    ts.isClassElement(node) &&
    ((node.name !== undefined && ts.isPrivateIdentifier(node.name)) ||
      (ts.getCombinedModifierFlags(node) & ts.ModifierFlags.Private) !== 0)
  );
}

/** Types of others that src only adds to, such as FastifyRequest, are not ours. */
function isOurs({ declarations = [] }: ts.Symbol): boolean {
  return declarations.every((declaration) => {
    const { fileName } = declaration.getSourceFile();
    return fileName.startsWith(join(root, 'src/')) || fileName === FIXTURE;
  });
}

const host = ts.createCompilerHost(options);
const disk = { ...host };
host.fileExists = (path) => path === FIXTURE || disk.fileExists(path);
host.getSourceFile = (path, version) =>
  path === FIXTURE ? ts.createSourceFile(path, FORGETFUL, version) : disk.getSourceFile(path, version);
const entries = ['index', 'check', 'testing'].map((name) => join(root, `src/${name}.ts`));
const program = ts.createProgram([...entries, FIXTURE], options, host);

t.test('a type that a public declaration mentions can be imported from the same entry point', async (t) => {
  for (const entry of entries) {
    const { checked, unexported } = findUnexported(program, entry);
    t.ok(checked >= 8, `${entry} declares ${checked} types`);
    t.same(unexported, [], entry);
  }
});

t.test('an entry point that does not export every type of its public declarations is detected', async (t) => {
  const { unexported } = findUnexported(program, FIXTURE);
  t.same(new Set(unexported), new Set(['Option', 'Nested', 'Answer', 'Base', 'Parameter', 'the type of inferred']));
});
