// SPDX-License-Identifier: BSD-3-Clause

/** Payloads of this version and older ones can be drawn; keys may be added, never taken away. */
const VERSION = 1;

/** Whether `value` is an object of a version known here that has a list or a text under `key`. */
export function isPayload<Payload>(value: unknown, key: keyof Payload & string): value is Payload {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  const { version, [key]: content } = value as Record<string, unknown>;
  return (typeof version !== 'number' || version <= VERSION) && (Array.isArray(content) || typeof content === 'string');
}
