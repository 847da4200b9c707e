/**
 * Who has read the value of a field is known: whatever a class of fields can be asked, an answer that another value
 * would change is noted. A new member is asked as well, without being listed here.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { RequestHead } from '../../src/http/head.ts'
import { Fields } from '../../src/message/fields.ts'

const LIMITS = { head: 10_000, headers: 100, uri: 1_000 }
const VALUES = ['one', 'two', 'another', 'One', '', '123', '  one ']
const OTHERS = 'GET / HTTP/1.1\r\nHost: h\r\nX-A: first\r\nX-A: '

/** For a codec, which makes nothing of what it gets here: offsets, and the bytes of a head as a whole. */
const OF_CODECS = new Set(['unread', 'end', 'nameStart', 'nameEnd', 'wasRead', 'detach'])
/** Notes it elsewhere. */
const APART = 'allApart'
/** Who asks it: the exchange asks them again for a request that is not read. */
const ASKED_AGAIN = ['exchange/client-address.ts', 'policy/request-id/request-id.ts']

function fieldsWith(value: string): Fields {
  const head = new RequestHead()
  const bytes = Buffer.from(`${OTHERS}${value}\r\nX-B: last\r\n\r\n`)
  assert.equal(head.parse(bytes, 0, bytes.length, LIMITS), bytes.length)
  return head.fields
}

/** The field whose value differs. */
const AT = 2

/** What a parameter of this name is given. */
const GIVEN: Readonly<Record<string, unknown>> = {
  index: AT,
  name: 'x-a',
  names: new Set(['x-a']),
  prefix: 'x-',
  value: 'y',
  visit: () => {},
  bytes: Buffer.alloc(0),
  nameStart: 1,
  nameEnd: 2,
  valueStart: 3,
  valueEnd: 4,
}

/** Every way to ask, with what makes of its answer something to be compared. */
const asked = Object.entries(Object.getOwnPropertyDescriptors(Fields.prototype)).flatMap(([name, { get, value }]) => {
  if (name === 'constructor' || name === APART || OF_CODECS.has(name)) return []
  const seen = (answer: unknown, fields: Fields): unknown =>
    answer instanceof Fields ? answer.all('x-a') : answer === undefined ? fields.untouched : answer
  if (get !== undefined) return [{ name, ask: (fields: Fields) => seen(get.call(fields), fields) }]
  const method = value as (this: Fields, ...given: unknown[]) => unknown
  const parameters = /^[^(]*\(([^)]*)\)/
    .exec(String(method))![1]!
    .split(',')
    .map((one) => one.trim().split(/\W/)[0]!)
  const given = parameters.filter((one) => one !== '').map((one) => GIVEN[one] ?? assert.fail(`what is ${one}?`))
  return [{ name: `${name}(${parameters})`, ask: (fields: Fields) => seen(method.call(fields, ...given), fields) }]
})

describe('fields', () => {
  it('are asked in all ways that they have', () => {
    for (const name of ['get(name)', 'bytes', 'valueAt(index)', 'has(name)', 'copy()'])
      assert.ok(
        asked.some((one) => one.name === name),
        name,
      )
  })

  for (const { name, ask } of asked)
    it(`note that a value was read, where ${name} tells anything of it`, () => {
      const answers = VALUES.map((value) => {
        const fields = fieldsWith(value)
        assert.equal(fields.wasRead(AT), false)
        let answer: unknown
        try {
          answer = ask(fields)
        } catch (error) {
          answer = String(error)
        }
        return { answer, read: fields.wasRead(AT) }
      })
      const [first, ...others] = answers
      for (const { answer, read } of others) {
        try {
          assert.deepEqual(answer, first!.answer)
        } catch {
          assert.ok(read, `${String(answer)} was told, and nothing is noted`)
        }
      }
    })

  it('note apart what was read for something that is found anew each time', () => {
    const fields = fieldsWith('one')
    assert.deepEqual(fields.allApart('x-a'), ['first', 'one'])
    assert.ok(fields.wasReadApart(AT) && !fields.wasRead(AT) && !fields.wasReadApart(0))
    fields.removeAt(AT - 1)
    assert.deepEqual(fields.all('x-a'), ['one'])
    assert.ok(fields.wasRead(AT) && !fields.wasRead(AT - 1))
    const source = join(import.meta.dirname, '../../src')
    const asking = readdirSync(source, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && path !== 'message/fields.ts')
      .filter((path) => readFileSync(join(source, path), 'utf8').includes(`.${APART}(`))
    assert.deepEqual(asking.sort(), ASKED_AGAIN)
  })

  it('note what is told to a visitor', () => {
    const fields = fieldsWith('one')
    fields.forEach(() => {})
    assert.ok(fields.wasRead(AT) && fields.wasRead(0))
  })

  it('are all read in a copy, whoever has made it', () => {
    const copy = fieldsWith('one').copy()
    assert.ok(copy.wasRead(AT) && copy.wasRead(0))
  })

  it('forget it with the message', () => {
    const fields = fieldsWith('one')
    fields.valueAt(AT)
    fields.clear()
    assert.equal(fields.wasRead(AT), false)
  })

  it('count as read behind those of which it is noted', () => {
    assert.equal(new Fields().wasRead(32), true)
    const fields = fieldsWith('one')
    fields.valueStart(32)
    assert.equal(fields.wasRead(AT), false)
  })
})
