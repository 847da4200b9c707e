/**
 * Fuzzer of authorities: `node test/fuzz/host.ts [seconds]`. What it finds goes into host.seeds.json, which
 * host.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import fc from 'fast-check'
import { normalizeHost } from '../../src/pattern/host.ts'

const PIECES = [
  'a',
  'B',
  'xn--',
  '-',
  '_',
  '.',
  '..',
  ':',
  '80',
  '0',
  '65535',
  '65536',
  '[',
  ']',
  '::',
  '::1',
  'fe80',
  '1.2.3.4',
  '255',
  '%25',
  '%',
  '@',
  '*',
  '/',
  ' ',
  'é',
  '\0',
  ',',
  'example.com',
]

export const authorityText: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom(...PIECES) },
      { weight: 1, arbitrary: fc.string({ maxLength: 3 }) },
    ),
    { maxLength: 7 },
  )
  .map((pieces) => pieces.join(''))

const NAME = /^(?=.{1,253}\.?$)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?$/i

/** The same rules by regular expressions, and by WHATWG URL for the spelling of IPv6. */
function normalizeSlowly(authority: string): { host: string; port: number } | undefined {
  const parts = /^(\[.*\]|[^:[\]]*)(?::([0-9]{0,5}))?$/s.exec(authority)
  if (parts === null) return undefined
  const [, name = '', digits = ''] = parts
  const port = Number(digits)
  if (digits !== '' && (port < 1 || port > 65_535)) return undefined
  if (name.startsWith('[')) {
    const literal = name.slice(1, -1)
    if (!isIPv6(literal) || literal.includes('%')) return undefined
    return { host: new URL(`http://${name}/`).hostname, port }
  }
  return NAME.test(name) ? { host: name.toLowerCase().replace(/\.$/, ''), port } : undefined
}

/** Throws when the authority is treated otherwise than by the slow rules. */
export function checkHost(authority: string): void {
  const normal = normalizeHost(authority)
  assert.deepEqual(normal, normalizeSlowly(authority))
  if (normal !== undefined) assert.deepEqual(normalizeHost(normal.host), { host: normal.host, port: 0 })
}

export const seeds: readonly string[] = JSON.parse(readFileSync(new URL('host.seeds.json', import.meta.url), 'utf8'))

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(authorityText, checkHost), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map((seed): [string] => [seed]),
  })
}
