// SPDX-License-Identifier: BSD-3-Clause
// Builds the widget: one module and one style sheet, with nothing to fetch. The module travels to every page that shows a panel, from the kernel
// and uncompressed, so it is packed here: a few lines that unfold it (as anywidget itself does, through a blob: URL) around the deflated code.
import { build } from 'esbuild';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { deflateRawSync } from 'node:zlib';

const source = fileURLToPath(new URL('../packages/widget/src/', import.meta.url));
const target = fileURLToPath(new URL('../../nbflow/widgets/static/', import.meta.url));
const common = { bundle: true, minify: true, write: false, logLevel: 'warning' };

const module = await build({ ...common, entryPoints: [`${source}index.ts`], format: 'esm', target: 'es2022' });
const style = await build({ ...common, entryPoints: [`${source}widget.css`] });
const code = module.outputFiles[0].contents;

const packed = deflateRawSync(code, { level: 9 }).toString('base64');
mkdirSync(target, { recursive: true });
writeFileSync(
  `${target}widget.js`,
  `const bytes=Uint8Array.from(atob("${packed}"),c=>c.charCodeAt(0));
const code=await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).text();
const url=URL.createObjectURL(new Blob([code],{type:"text/javascript"}));
export default (await import(url)).default;
URL.revokeObjectURL(url);
`
);
writeFileSync(`${target}widget.css`, style.outputFiles[0].contents);
console.log(`widget: ${(code.length / 1000).toFixed(1)} kB of code, packed`);
