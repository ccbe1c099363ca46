// SPDX-License-Identifier: BSD-3-Clause

/** CRC-32, as `zlib.crc32` of the text in UTF-8. */
export function checksum(text: string): number {
  let crc = -1;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
    }
  }
  return ~crc >>> 0;
}
