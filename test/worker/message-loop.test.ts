/** In which order a worker takes what control sends, and what goes on meanwhile. */
import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { changedSet, wholeSet, withdrawnSet } from '../../src/thread/endpoint-rows.ts'
import type { EndpointRow, EndpointsMessage, FromWorker } from '../../src/thread/messages.ts'
import { MessageLoop } from '../../src/worker/message-loop.ts'

function rows(count: number): EndpointRow[] {
  return Array.from({ length: count }, (_, slot) => ({ address: `${slot}`, port: 80, weight: 1, state: 'ready', slot }))
}

const LONG = 1_000

describe('the messages of control', () => {
  let log: string[]
  let answers: FromWorker[]
  let turns: (() => void)[]
  let loop: MessageLoop
  let forgotten: number
  /** Steps of the next set, or tables, fail. */
  let broken: boolean

  beforeEach(() => {
    log = []
    answers = []
    turns = []
    broken = false
    forgotten = 0
    let now = 0
    loop = new MessageLoop({
      explain: () => {},
      cached: { find: () => {} },
      signIns: { accept: () => {}, forgetQuestions: () => {} },
      // A slice is over behind one step.
      clock: {
        monotonic: () => (now += 2),
        nextTurn(run) {
          turns.push(run)
          return () => {}
        },
      },
      keySets: { answered: (url, known, again, current) => log.push(`asked ${url} ${known} ${again} ${current}`) },
      passwords: {
        answered: (id, { result }) => log.push(`password ${id} ${result}`),
        forget: () => log.push('forget'),
      },
      linker: {
        *link({ generation }: { generation: number }) {
          yield
          yield
          if (broken) throw new TypeError('broken')
          log.push(`tables ${generation}`)
        },
      } as never,
      endpoints: {
        *endpoints({ backend, rows }: EndpointsMessage) {
          for (const _ of rows.slice(1)) yield
          if (broken) throw new TypeError('broken')
          log.push(`${backend} ${rows.length}`)
        },
        retain: (ids) => log.push(`retain ${ids}`),
      },
      contents: { apply: () => log.push('contents'), retain: (ids: string[]) => log.push(`contents ${ids}`) } as never,
      archives: { useFiles: (port) => log.push(`files ${port}`), forget: () => void forgotten++ },
      grants: { answered: (id) => log.push(`answer ${id}`), forget: () => void forgotten++ },
      settings: () => log.push('settings'),
      epoch: (epoch) => log.push(`epoch ${epoch}`),
      send: (message) => answers.push(message),
    })
  })

  const long = (backend: string): EndpointsMessage => wholeSet(backend, rows(LONG), 'HTTP')
  const short = (backend: string): EndpointsMessage => changedSet(backend, { gone: [1], rows: rows(1) }, 'HTTP')
  const tables = (generation: number) => loop.accept({ type: 'tables', generation } as never)

  /** @returns how many turns it takes */
  function finish(): number {
    let count = 0
    for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) {
      turn()
      count++
    }
    return count
  }

  it('are endpoints that act at once, also while tables are linked', () => {
    tables(1)
    loop.accept(short('a/a'))
    loop.accept(withdrawnSet('a/b'))
    assert.deepEqual(log, ['a/a 1', 'a/b 0'])
    finish()
    assert.deepEqual(log.at(-1), 'tables 1')
  })

  it('withdraw what a control thread that has just begun does not know, behind its tables, and nothing it sends since', () => {
    tables(1)
    loop.accept({ type: 'backends', ids: ['a/a'] })
    loop.accept(short('a/later'))
    loop.accept(short('a/a'))
    assert.deepEqual(log, ['a/later 1', 'a/a 1'])
    finish()
    assert.deepEqual(log.splice(0), ['a/later 1', 'a/a 1', 'tables 1', 'retain a/a,a/later'])
    loop.accept({ type: 'backends', ids: ['a/b'] })
    finish()
    assert.deepEqual(log.splice(0), ['retain a/b'])
    tables(2)
    loop.accept({ type: 'backends', ids: ['a/c'] })
    loop.accept(short('a/d'))
    loop.forgetQueue()
    loop.accept({ type: 'backends', ids: ['a/e'] })
    finish()
    assert.equal(log.at(-1), 'retain a/e')
  })

  it('withdraw contents in the same way: tables that are in force still refer to them', () => {
    const contents = (...ids: string[]) => {
      const some = ids.map((id) => ({ id, bytes: id.endsWith('gone') ? null : new Uint8Array(1) }))
      loop.accept({ type: 'contents', contents: some })
    }
    contents('before')
    tables(1)
    loop.accept({ type: 'content-ids', ids: ['before'] })
    contents('since', 'gone')
    assert.deepEqual(log.splice(0), ['contents', 'contents'])
    finish()
    assert.deepEqual(log.splice(0), ['tables 1', 'contents before,since'])
    loop.accept({ type: 'content-ids', ids: ['a'] })
    contents('since')
    loop.forgetQueue()
    loop.accept({ type: 'content-ids', ids: ['b'] })
    finish()
    assert.equal(log.at(-1), 'contents b')
  })

  it('are thousands of endpoints that are taken over several turns, with those of other Backends in between', () => {
    loop.accept(long('a/a'))
    loop.accept(short('b/b'))
    assert.deepEqual(log, ['b/b 1'])
    assert.ok(finish() > 1)
    assert.deepEqual(log, ['b/b 1', 'a/a 4'])
  })

  it('keep their order where it matters: one Backend, tables behind endpoints, epochs behind all', () => {
    loop.accept(long('a/a'))
    loop.accept(short('a/a'))
    loop.accept({ type: 'backends', ids: ['a/a'] })
    loop.accept({ type: 'epoch', epoch: 3 })
    tables(1)
    loop.accept({ type: 'latency-probe', id: 5 })
    loop.accept(withdrawnSet('a/a'))
    assert.deepEqual([log, answers], [[], []])
    finish()
    assert.deepEqual(log, ['a/a 4', 'a/a 1', 'retain a/a', 'epoch 3', 'tables 1', 'a/a 0'])
    assert.deepEqual(answers, [{ type: 'latency-probe', id: 5 }])
    loop.accept(short('a/a'))
    assert.equal(log.at(-1), 'a/a 1', 'and the next one acts at once')
  })

  it('of a control thread that died are tables that are not completed, and endpoints that are, and no answers', () => {
    loop.accept(long('a/a'))
    tables(1)
    loop.accept(long('b/b'))
    loop.accept({ type: 'epoch', epoch: 3 })
    loop.forgetQueue()
    loop.accept(short('b/b'))
    finish()
    assert.deepEqual(log, ['forget', 'a/a 4', 'b/b 4', 'b/b 1'])
    assert.equal(forgotten, 2, 'what stores and files were asked')
  })

  it('that cannot be used are reported, and the next ones are taken', () => {
    broken = true
    loop.accept(long('a/a'))
    finish()
    broken = false
    loop.accept(short('a/a'))
    assert.deepEqual(log, ['a/a 1'])
    assert.match(JSON.stringify(answers), /broken/)
  })

  it('that are tables which cannot be linked: what differs from them is not tried, and complete ones are', () => {
    const linked = (generation: number, full: boolean) => {
      loop.accept({ type: 'tables', generation, full } as never)
      finish()
      return answers.splice(0).map((answer) => (answer.type === 'problem' ? 'problem' : answer))
    }
    assert.deepEqual(linked(1, true), [])
    broken = true
    assert.deepEqual(linked(2, false), [{ type: 'not-linked', generation: 2, skipped: false }, 'problem'])
    assert.deepEqual(linked(3, true), [{ type: 'not-linked', generation: 3, skipped: false }, 'problem'])
    broken = false
    assert.deepEqual(linked(4, false), [{ type: 'not-linked', generation: 4, skipped: true }])
    assert.deepEqual(linked(5, true), [])
    assert.deepEqual(linked(6, false), [])
    assert.deepEqual(log, ['tables 1', 'tables 5', 'tables 6'])
  })

  it('give a mark back behind long sets', () => {
    loop.accept({ type: 'mark', id: 1 })
    assert.deepEqual(answers.splice(0), [{ type: 'mark', id: 1 }])
    loop.accept(long('a/a'))
    loop.accept({ type: 'mark', id: 2 })
    assert.deepEqual(answers, [])
    finish()
    assert.deepEqual([log, answers], [['a/a 4'], [{ type: 'mark', id: 2 }]])
  })
})
