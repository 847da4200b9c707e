import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Definition } from '../../../src/source/folder/definition.ts'
import { ObjectTable } from '../../../src/source/folder/object-table.ts'

const define = (file: string, name: string, body: number, line = 1): Definition => ({
  kind: 'Route',
  key: `shop/${name}`,
  raw: { name, body },
  file,
  line,
  text: '',
  textLine: 0,
  base: [],
  bytes: 0,
})

describe('the table of objects', () => {
  it('emits each object once, and again only when its content differs', () => {
    const table = new ObjectTable()
    table.set('a', [define('a', 'x', 1)])
    assert.equal(table.flush().length, 1)
    table.set('a', [define('a', 'x', 1, 7)])
    assert.deepEqual(table.flush(), [])
    assert.equal(table.find('Route', 'shop/x')?.line, 7)
    table.set('a', [define('a', 'x', 2)])
    assert.equal(table.flush()[0]?.type, 'upsert')
    table.set('a', [])
    assert.deepEqual(table.flush(), [{ type: 'delete', kind: 'Route', key: 'shop/x' }])
  })

  it('emits nothing for an object added and removed between two flushes', () => {
    const table = new ObjectTable()
    table.set('a', [define('a', 'x', 1)])
    table.set('a', [])
    assert.deepEqual(table.flush(), [])
  })

  it('prefers the first document of a file', () => {
    const table = new ObjectTable()
    table.set('a', [define('a', 'x', 1, 1), define('a', 'x', 2, 5)])
    assert.deepEqual(
      table.flush().map((event) => event.type === 'upsert' && event.raw),
      [{ name: 'x', body: 1 }],
    )
    const [problem] = table.contested()
    assert.equal(problem?.location?.line, 5)
    assert.match(problem!.message, /already defined at a:1/)
  })

  it('reports no conflict with a missing file', () => {
    const table = new ObjectTable()
    table.set('a', [define('a', 'x', 1)])
    table.flush()
    table.set('a', [define('a', 'x', 1)], true)
    table.set('b', [define('b', 'x', 1)])
    assert.deepEqual(table.flush(), [])
    assert.deepEqual(table.contested(), [])
    assert.equal(table.find('Route', 'shop/x')?.file, 'b')
  })

  // The oracle: sort all definitions by file and line and take the first of each object.
  it('emits exactly the first definition of each object after any history', () => {
    const step = fc.tuple(
      fc.constantFrom('a', 'b', 'c'),
      fc.array(fc.tuple(fc.constantFrom('x', 'y', 'z'), fc.nat(2)), { maxLength: 4 }),
      fc.boolean(),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const table = new ObjectTable()
        const files = new Map<string, Definition[]>()
        const heard = new Map<string, unknown>()
        const flush = () => {
          for (const event of table.flush())
            if (event.type === 'upsert') heard.set(event.key, event.raw)
            else assert.ok(heard.delete(event.key))
        }
        for (const [file, objects, look] of steps) {
          const definitions = objects.map(([name, body], i) => define(file, name, body, i + 1))
          files.set(file, definitions)
          table.set(file, definitions)
          if (look) flush()
        }
        flush()
        const all = [...files.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, definitions]) => definitions)
        const expected = new Map<string, unknown>()
        for (const { key, raw } of all) if (!expected.has(key)) expected.set(key, raw)
        assert.deepEqual(new Map([...heard].sort()), new Map([...expected].sort()))
        assert.equal(table.contested().length, all.length - expected.size)
      }),
    )
  })
})
