// SPDX-License-Identifier: BSD-3-Clause
// Prints what the build made and refuses what outgrew its bound: a widget travels with every notebook page, an extension with every start of Lab.
import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const bounds = [
  { name: 'widget, module', folder: 'nbflow/widgets/static', ending: '.js', kilobytes: 60 },
  { name: 'widget, style', folder: 'nbflow/widgets/static', ending: '.css', kilobytes: 20 },
  { name: 'lab', folder: 'nbflow/labextension/static', ending: '', kilobytes: 200 }
];

function bytes(folder, ending) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !entry.name.endsWith('.map') && entry.name.endsWith(ending))
    .reduce((total, entry) => total + statSync(join(entry.parentPath, entry.name)).size, 0);
}

for (const { name, folder, ending, kilobytes } of bounds) {
  const size = bytes(join(root, folder), ending) / 1000;
  console.log(`${name}: ${size.toFixed(1)} kB of ${kilobytes} kB (${relative(root, join(root, folder))})`);
  if (size > kilobytes) {
    console.error(`The ${name} bundle is larger than ${kilobytes} kB.`);
    process.exitCode = 1;
  }
}
