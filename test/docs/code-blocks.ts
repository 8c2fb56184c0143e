import ts from 'typescript';
import { ROOT } from './pages.js';

/** Languages of blocks that the compiler checks. JavaScript is checked as TypeScript, which it is a subset of. */
const CHECKED = ['ts', 'js'];

/** What the examples in docstrings take as given. */
const CONTEXT = `
declare const latchkey: typeof import('latchkey').latchkey;
declare const createChecker: typeof import('latchkey/check').createChecker;
declare const createClient: typeof import('latchkey/client').createClient;
declare const startTestSessions: typeof import('latchkey/testing').startTestSessions;
declare const app: import('fastify').FastifyInstance;
declare const request: import('fastify').FastifyRequest;
declare const redis: import('ioredis').Redis;
declare const authenticator: ReturnType<typeof import('latchkey/check').createChecker>;
declare const accessToken: string;
declare const subject: string;
declare const sessionId: string;
type VerifyCredentials = import('latchkey').VerifyCredentials;
declare const users: {
  find(username: string): Promise<{ id: string; hasPassword(password: string): Promise<boolean> } | undefined>;
};
declare function listOrders(subject: string): object;
`;

export interface Block {
  readonly language: string;
  /** Line of the opening fence or of the `@example`, from 1. */
  readonly line: number;
  readonly lines: readonly string[];
}

/** The fenced blocks of a Markdown page. A fence without a language has the language ''. */
export function findBlocks(markdown: string): Block[] {
  const blocks: { language: string; line: number; lines: string[] }[] = [];
  let isOpen = false;
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = /^\s*```(.*)$/.exec(line);
    if (fence) {
      if (!isOpen) blocks.push({ language: fence[1]!.trim(), line: index + 1, lines: [] });
      isOpen = !isOpen;
    } else if (isOpen) blocks.at(-1)!.lines.push(line);
  }
  return blocks;
}

/** The code of every `@example` in the docstrings of a source file, with or without fences. */
export function findExamples(source: string): Block[] {
  return [...source.matchAll(/@example[^\n]*\n([^]*?)(?=\n *\* @|\n *\*\/)/g)].map(({ 1: text, index }) => ({
    language: 'ts',
    line: source.slice(0, index).split('\n').length,
    lines: text!.split('\n').map((line) => line.replace(/^ *\* ?(```.*)?/, '')),
  }));
}

export const isChecked = ({ language }: Block) => CHECKED.includes(language);

/**
 * Compiles blocks under `strict`, with the package's entries resolved to src.
 *
 * @param modules by name, the blocks that are compiled as one module. A page is one module, since it builds on what it
 *   has shown before. Several modules of one file are named `path@number`.
 * @returns the errors, each with the path and line of the block's own file
 */
export function compileErrors(modules: ReadonlyMap<string, readonly Block[]>): string[] {
  const context = `${ROOT}context.d.ts`;
  const files = new Map([...modules].map(([name, blocks]) => [`${ROOT}${name}.ts`, toModule(blocks)]));
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.es2024.string.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    module: ts.ModuleKind.NodeNext,
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: ['node'],
    paths: {
      latchkey: [`${ROOT}src/index.ts`],
      'latchkey/check': [`${ROOT}src/check.ts`],
      'latchkey/client': [`${ROOT}src/client/index.ts`],
      'latchkey/testing': [`${ROOT}src/testing.ts`],
    },
  };
  const texts = new Map([...files, [context, CONTEXT]]);
  const disk = ts.createCompilerHost(options);
  const host: ts.CompilerHost = {
    ...disk,
    getCurrentDirectory: () => ROOT,
    fileExists: (name) => texts.has(name) || disk.fileExists(name),
    readFile: (name) => texts.get(name) ?? disk.readFile(name),
    getSourceFile: (name, languageVersion, ...rest) => {
      const text = texts.get(name);
      if (text === undefined) return disk.getSourceFile(name, languageVersion, ...rest);
      return ts.createSourceFile(name, text, languageVersion);
    },
  };
  const program = ts.createProgram([...texts.keys()], options, host);
  const diagnostics = [
    ...program.getOptionsDiagnostics(),
    ...[...texts.keys()].flatMap((name) => {
      const file = program.getSourceFile(name);
      return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
    }),
  ];
  return diagnostics.map(({ file, start, messageText }) => {
    const message = ts.flattenDiagnosticMessageText(messageText, ' ');
    if (!file) return message;
    const path = file.fileName.slice(ROOT.length).replace(/(@\d+)?\.ts$/, '');
    return `${path}:${file.getLineAndCharacterOfPosition(start ?? 0).line + 1}: ${message}`;
  });
}

/** The blocks on the lines that they have in their file, so that an error's line is the file's. */
function toModule(blocks: readonly Block[]): string {
  const lines: string[] = [];
  for (const { line, lines: code } of blocks) {
    while (lines.length < line) lines.push('');
    lines.push(...code);
  }
  return [...lines, 'export {};'].join('\n');
}
