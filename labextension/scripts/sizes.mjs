// SPDX-License-Identifier: BSD-3-Clause
// Prints what the build made and refuses what outgrew its bound: a widget travels with every notebook page, an extension with every start of Lab.
// A bound holds for what travels: an extension is sent compressed, a widget as it is (`plain`; pack.mjs has packed it).
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const root = fileURLToPath(new URL('../..', import.meta.url));
const bounds = [
  { name: 'widget', folder: 'nbflow/widgets/static', kilobytes: 60, plain: true },
  { name: 'lab', folder: 'nbflow/labextension/static', kilobytes: 200 }
];

function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !entry.name.endsWith('.map'))
    .map(entry => readFileSync(join(entry.parentPath, entry.name)));
}

for (const { name, folder, kilobytes, plain } of bounds) {
  const files = filesIn(join(root, folder));
  const travels = files.reduce((total, file) => total + (plain ? file : gzipSync(file)).length, 0) / 1000;
  const whole = files.reduce((total, file) => total + file.length, 0) / 1000;
  console.log(
    `${name}: ${travels.toFixed(1)} kB of ${kilobytes} kB travel, ${whole.toFixed(1)} kB in files (${relative(root, join(root, folder))})`
  );
  if (travels > kilobytes) {
    console.error(`The ${name} bundle is larger than ${kilobytes} kB.`);
    process.exitCode = 1;
  }
}
