// SPDX-License-Identifier: BSD-3-Clause
// Prints what the build made and refuses what outgrew its bound: a widget travels with every notebook page, an extension with every start of Lab.
import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const bounds = [
  { name: 'widget', folder: 'nbflow/widgets/static', kilobytes: 60 },
  { name: 'lab', folder: 'nbflow/labextension/static', kilobytes: 200 }
];

function bytes(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !entry.name.endsWith('.map'))
    .reduce((total, entry) => total + statSync(join(entry.parentPath, entry.name)).size, 0);
}

for (const { name, folder, kilobytes } of bounds) {
  const size = bytes(join(root, folder)) / 1000;
  console.log(`${name}: ${size.toFixed(1)} kB of ${kilobytes} kB (${relative(root, join(root, folder))})`);
  if (size > kilobytes) {
    console.error(`The ${name} bundle is larger than ${kilobytes} kB.`);
    process.exitCode = 1;
  }
}
