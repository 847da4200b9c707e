/**
 * Fuzzer of the normal form of paths: `node test/fuzz/path.ts [seconds]`. What it finds goes into path.seeds.json,
 * which path.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { normalizePath } from '../../src/pattern/path.ts'
import { normalizeSlowly } from '../pattern/path-oracle.ts'

const PIECES = [
  '/',
  '//',
  '.',
  '..',
  '%2e',
  '%2E',
  '%252e',
  '%2f',
  '%2F',
  '%252F',
  '%5c',
  '%255C',
  '\\',
  '%00',
  '%2500',
  ';',
  '%3b',
  '%253B',
]
const PLAIN = [
  'a',
  'B',
  '~',
  '%7e',
  '%41',
  '%',
  '%2',
  '%25',
  '25',
  '2',
  '5',
  'E',
  'F',
  '0',
  ' ',
  'é',
  '%c3%a9',
  '#',
  '?',
  '[',
  ':',
  '@',
  '\x00',
  '\x7f',
]

/** Paths made of what matters to them, with something arbitrary in between now and then. */
export const pathText: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      { weight: 12, arbitrary: fc.constantFrom(...PIECES) },
      { weight: 8, arbitrary: fc.constantFrom(...PLAIN) },
      { weight: 1, arbitrary: fc.string({ maxLength: 3 }) },
    ),
    { maxLength: 12 },
  )
  .map((pieces) => `/${pieces.join('')}`)

/** Throws when the path is treated otherwise than by the slow rules. */
export function checkPath(path: string): void {
  for (const mode of ['Strict', 'KeepEncodedSlash'] as const) {
    const normal = normalizePath(path, mode)
    assert.equal(normal, normalizeSlowly(path, mode))
    if (normal !== undefined) assert.equal(normalizePath(normal, mode), normal)
  }
}

export const seeds: readonly string[] = JSON.parse(readFileSync(new URL('path.seeds.json', import.meta.url), 'utf8'))

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(pathText, checkPath), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map((seed): [string] => [seed]),
  })
}
