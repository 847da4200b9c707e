import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type Link, LinkedList } from '../../src/lib/linked-list.ts'

describe('a linked list', () => {
  it('keeps the order of what was not removed, wherever it was removed', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.nat(20), { freq: 3 }), { maxLength: 60 }), (steps) => {
        const list = new LinkedList<number>()
        const links: Link<number>[] = []
        const model: number[] = []
        for (const [i, step] of steps.entries()) {
          if (step === null) {
            links.push(list.push(i))
            model.push(i)
          } else if (links.length > 0) {
            const link = links[step % links.length]!
            const at = model.indexOf(link.value)
            assert.equal(list.remove(link), at >= 0)
            if (at >= 0) model.splice(at, 1)
          }
          assert.deepEqual([list.first, list.size], [model[0], model.length])
        }
        const left: number[] = []
        for (let first = list.first; first !== undefined; first = list.first) {
          left.push(first)
          list.remove(links.find((link) => link.value === first)!)
        }
        assert.deepEqual(left, model)
      }),
    )
  })

  it('does not remove what is in another list', () => {
    const [one, two] = [new LinkedList<string>(), new LinkedList<string>()]
    const link = one.push('a')
    assert.equal(two.remove(link), false)
    assert.equal(one.size, 1)
  })
})
