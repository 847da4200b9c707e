import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { KIND_NAMES } from '../../src/api/kinds.ts'
import { readCorpus } from '../corpus/corpus.ts'
import { validator } from './schemas.ts'

const corpus = readCorpus()
const good = corpus.filter((entry) => entry.verdict === 'ok')

/** Values that confuse: of every type, and texts that look like something. */
const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom<unknown>(
    '',
    '/',
    '*',
    '0s',
    '10Mi',
    '(',
    '%{',
    null,
    [],
    {},
    -1,
    0,
    1.5,
    1e300,
    true,
    'a'.repeat(2000),
    undefined,
  ),
)

/** A document of the corpus with some of its values replaced, removed or joined by others. */
const mutated = fc
  .tuple(
    fc.constantFrom(...corpus),
    fc.array(fc.tuple(fc.nat(), fc.string(), odd, fc.nat(3)), { minLength: 1, maxLength: 4 }),
  )
  .map(([entry, changes]) => {
    const document = structuredClone(entry.document) as Record<string, unknown>
    for (const [where, name, shared, how] of changes) {
      const value: unknown = structuredClone(shared)
      const places = objectsOf(document)
      const place = places[where % places.length]!
      const keys = Object.keys(place)
      const key = keys[where % Math.max(1, keys.length)] ?? name
      if (how === 0) delete place[key]
      else if (how === 1 && !Array.isArray(place))
        Object.defineProperty(place, name, { value, enumerable: true, writable: true, configurable: true })
      else place[key] = value
    }
    return { kind: entry.kind, document }
  })

function objectsOf(value: unknown): Record<string, unknown>[] {
  if (typeof value !== 'object' || value === null) return []
  return [value as Record<string, unknown>, ...Object.values(value).flatMap(objectsOf)]
}

function isFrozenDeep(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return true
  return Object.isFrozen(value) && Object.values(value).every(isFrozenDeep)
}

test('no JSON makes the validator throw', () => {
  fc.assert(
    fc.property(fc.constantFrom(...KIND_NAMES), fc.jsonValue({ maxDepth: 6 }), (kind, value) => {
      assert.equal(typeof validator.check(kind, value).ok, 'boolean')
      assert.equal(typeof validator.checkSettings(value).ok, 'boolean')
    }),
    { numRuns: 300 },
  )
})

test('a damaged manifest is refused with places in it, or accepted; never a throw', () => {
  fc.assert(
    fc.property(mutated, ({ kind, document }) => {
      const result = validator.check(kind, document)
      if (result.ok) return
      assert.ok(result.problems.length > 0)
      for (const { path, message } of result.problems) {
        assert.ok(message.length > 0)
        assert.ok(path.every((step) => typeof step === 'string' || Number.isInteger(step)))
      }
    }),
    { numRuns: 2000 },
  )
})

test('what was accepted is frozen, is accepted again, and comes out the same', () => {
  fc.assert(
    fc.property(fc.oneof(mutated, fc.constantFrom(...good)), ({ kind, document }) => {
      const first = validator.check(kind, document)
      fc.pre(first.ok)
      assert.ok(isFrozenDeep(first.object))
      const second = validator.check(kind, first.object)
      assert.ok(second.ok)
      assert.deepEqual(second.object, first.object)
    }),
    { numRuns: 500 },
  )
})

test('the same document gets the same verdict, and is not changed', () => {
  fc.assert(
    fc.property(mutated, ({ kind, document }) => {
      const before = structuredClone(document)
      const first = validator.check(kind, document)
      assert.deepEqual(document, before)
      assert.deepEqual(validator.check(kind, document), first)
    }),
    { numRuns: 300 },
  )
})
