// Transpiles TypeScript for ts-node, and caches the results by content. Every test file runs in a process of its own,
// which loads up to 200 sources: transpiling them anew takes longer than most of the tests.
'use strict';
const { createHash } = require('node:crypto');
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { threadId } = require('node:worker_threads');
const ts = require('typescript');

const CACHE = join(module.path, '../node_modules/.cache/latchkey-transpiled');

exports.create = ({ service, nodeModuleEmitKind }) => {
  const compilerOptions = {
    ...service.config.options,
    module: nodeModuleEmitKind === 'nodecjs' ? ts.ModuleKind.CommonJS : ts.ModuleKind.ES2022,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
  };
  const settings = JSON.stringify([ts.version, { ...compilerOptions, configFilePath: undefined }]);
  mkdirSync(CACHE, { recursive: true });

  return {
    transpile(input, { fileName }) {
      const file = join(CACHE, createHash('sha256').update(settings).update(input).digest('hex'));
      try {
        return JSON.parse(readFileSync(file, 'utf8'));
      } catch {
        // Not cached yet.
      }
      // The file name in the source map does not matter: ts-node replaces it.
      const { outputText, sourceMapText } = ts.transpileModule(input, { fileName, compilerOptions });
      // Renamed into place, so that no other process reads half a file.
      const fresh = `${file}.${process.pid}.${threadId}`;
      writeFileSync(fresh, JSON.stringify({ outputText, sourceMapText }));
      renameSync(fresh, file);
      return { outputText, sourceMapText };
    },
  };
};
