// `node --import ./tools/dev/typescript.mjs file.ts` runs TypeScript on every Node: types are stripped while loading.
import { readFileSync } from 'node:fs';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';
import typescript from 'typescript';

/** Module hook: `.ts` of this project becomes JavaScript, everything else is left to Node. */
export async function load(url, context, nextLoad) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context);
  const fileName = fileURLToPath(url);
  const { outputText } = typescript.transpileModule(readFileSync(fileName, 'utf8'), {
    fileName,
    compilerOptions: {
      target: typescript.ScriptTarget.ES2023,
      module: typescript.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      inlineSourceMap: true,
    },
  });
  return { format: 'module', source: outputText, shortCircuit: true };
}

// The hook runs in a thread of its own, which loads this file under this other name: it must not register once more.
if (!import.meta.url.endsWith('?hook')) register(`${import.meta.url}?hook`);
