import ts from 'typescript';
import { ROOT } from './pages.js';

/** Languages of blocks that the compiler checks. JavaScript is checked as TypeScript, which it is a subset of. */
const CHECKED = ['ts', 'js'];

export interface Block {
  readonly language: string;
  /** Line of the opening fence, from 1. */
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

export const isChecked = ({ language }: Block) => CHECKED.includes(language);

/**
 * Compiles the checked blocks of each page as one module, since a page builds on what it has shown before.
 * @returns the errors, each with the page and the line that it is on there
 */
export function compileErrors(pages: ReadonlyMap<string, string>): string[] {
  const modules = new Map([...pages].map(([page, markdown]) => [`${ROOT}${page}.ts`, toModule(markdown)]));
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.es2024.string.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleDetection: ts.ModuleDetectionKind.Force,
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
  const disk = ts.createCompilerHost(options);
  const host: ts.CompilerHost = {
    ...disk,
    getCurrentDirectory: () => ROOT,
    fileExists: (name) => modules.has(name) || disk.fileExists(name),
    readFile: (name) => modules.get(name) ?? disk.readFile(name),
    getSourceFile: (name, languageVersion, ...rest) => {
      const text = modules.get(name);
      if (text === undefined) return disk.getSourceFile(name, languageVersion, ...rest);
      return ts.createSourceFile(name, text, languageVersion);
    },
  };
  const program = ts.createProgram([...modules.keys()], options, host);
  const diagnostics = [
    ...program.getOptionsDiagnostics(),
    ...[...modules.keys()].flatMap((name) => {
      const file = program.getSourceFile(name);
      return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
    }),
  ];
  return diagnostics.map(({ file, start, messageText }) => {
    const message = ts.flattenDiagnosticMessageText(messageText, ' ');
    if (!file) return message;
    const page = file.fileName.slice(ROOT.length).replace(/\.ts$/, '');
    return `${page}:${file.getLineAndCharacterOfPosition(start ?? 0).line + 1}: ${message}`;
  });
}

/** The checked blocks on the lines that they have in the page, so that an error's line is the page's. */
function toModule(markdown: string): string {
  const lines = markdown.split('\n').map(() => '');
  for (const block of findBlocks(markdown).filter(isChecked)) {
    for (const [index, text] of block.lines.entries()) lines[block.line + index] = text;
  }
  return lines.join('\n');
}
