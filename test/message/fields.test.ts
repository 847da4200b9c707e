import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { fieldsText } from '../../src/http/field-lines.ts'
import { INCOMPLETE, parseFields } from '../../src/http/head.ts'
import { isFieldValue } from '../../src/message/field-value.ts'
import { Fields, LINES, looseName } from '../../src/message/fields.ts'

type Pair = readonly [name: string, value: string]

/** A value with the white space before and behind it. */
type Padded = readonly [name: string, value: string, before?: string, behind?: string]

/** As a codec leaves them: offsets into a buffer that holds other bytes around them. */
function parsed(pairs: readonly Padded[]): { fields: Fields; bytes: Buffer } {
  const lines = pairs.map(([name, value, before = ' ', behind = '']) => `${name}:${before}${value}${behind}\r\n`)
  return sectionOf(lines.join(''))
}

function sectionOf(text: string): { fields: Fields; bytes: Buffer; again: (text: string) => void } {
  const fields = new Fields()
  const read = (section: string): Buffer => {
    const bytes = Buffer.from(`GET / HTTP/1.1\r\n${section}\r\nbody`, 'latin1')
    const refuse = (_: string, detail: string): never => assert.fail(detail)
    const end = parseFields({ fields, refuse }, bytes, 16, bytes.length, 0, { head: 10_000, headers: 100, uri: 0 })
    assert.notEqual(end, INCOMPLETE)
    return bytes
  }
  return { fields, bytes: read(text), again: read }
}

function pairsOf(fields: Fields): Pair[] {
  const pairs: Pair[] = []
  fields.forEach((name, value) => void pairs.push([name, value]))
  return pairs
}

const name = fc.constantFrom('a', 'B', 'x-y', 'X-Y', 'x_y', 'x.y', 'host', 'Content-Length')
const value = fc.constantFrom('', '1', 'two words', 'caf\xe9', ', ,', 'a:b')

const before = fc.constantFrom(' ', ' ', '  ', '\t', ' \t ')
const behind = fc.constantFrom('', '', ' ', '\t', ' \t ')

type Step =
  | { readonly do: 'add'; readonly name: string; readonly value: string }
  | { readonly do: 'set'; readonly name: string; readonly value: string }
  | { readonly do: 'remove'; readonly name: string }
  | { readonly do: 'removeLoosely'; readonly name: string }
  | { readonly do: 'removeAt'; readonly index: number }
  | { readonly do: 'detach' }

const lower = name.map((each) => each.toLowerCase())
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('add' as const), name: lower, value }),
  fc.record({ do: fc.constant('set' as const), name: lower, value }),
  fc.record({ do: fc.constant('remove' as const), name: lower }),
  fc.record({ do: fc.constant('removeLoosely' as const), name: lower.map((own) => own.replaceAll(/[_.]/g, '-')) }),
  fc.record({ do: fc.constant('removeAt' as const), index: fc.nat({ max: 6 }) }),
  fc.constant({ do: 'detach' as const }),
)

/** The same on a list of pairs. Parsed fields keep their places; what is added comes behind them. */
class Model {
  readonly parsed: (Pair | null)[]
  added: Pair[] = []

  constructor(pairs: readonly Padded[]) {
    this.parsed = pairs.map(([own, text]) => [own.toLowerCase(), text])
  }

  get all(): Pair[] {
    return [...this.parsed.filter((pair) => pair !== null), ...this.added]
  }

  apply(each: Step): void {
    if (each.do === 'detach') return
    if (each.do === 'removeAt') {
      if (each.index < this.parsed.length) this.parsed[each.index] = null
      return
    }
    if (each.do === 'removeLoosely') {
      const alike = (own: string): boolean => own.replaceAll(/[_.]/g, '-') === each.name
      for (const [i, pair] of this.parsed.entries()) if (pair !== null && alike(pair[0])) this.parsed[i] = null
      this.added = this.added.filter(([own]) => !alike(own))
      return
    }
    if (each.do !== 'add') {
      for (const [i, pair] of this.parsed.entries()) if (pair?.[0] === each.name) this.parsed[i] = null
      this.added = this.added.filter(([own]) => own !== each.name)
    }
    if (each.do !== 'remove') this.added.push([each.name, each.value])
  }
}

function apply(fields: Fields, each: Step): void {
  switch (each.do) {
    case 'add':
    case 'set':
      fields[each.do](each.name, each.value)
      break
    case 'remove':
    case 'removeLoosely':
      fields[each.do](each.name)
      break
    case 'detach':
      fields.detach()
      break
    case 'removeAt':
      if (each.index < fields.count) fields.removeAt(each.index)
  }
}

describe('the fields of a message', () => {
  it('are what a plain list of pairs would be, whatever is done to them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(name, value, before, behind), { maxLength: 6 }),
        fc.array(step, { maxLength: 10 }),
        (pairs, steps) => {
          const { fields, bytes } = parsed(pairs)
          const model = new Model(pairs)
          for (const each of steps) {
            apply(fields, each)
            model.apply(each)
            // Bytes they were detached from are somebody else's.
            if (each.do === 'detach' && fields.bytes !== bytes) bytes.fill(0x58)
          }
          const expected = model.all
          assert.deepEqual(pairsOf(fields), expected)
          for (const [own] of [...expected, ['x-y', ''], ['absent', '']] as Pair[]) {
            const values = expected.filter(([other]) => other === own).map(([, text]) => text)
            assert.equal(fields.has(own), values.length > 0)
            assert.equal(fields.get(own), values[0])
            assert.deepEqual(fields.all(own), values)
            assert.equal(fields.joined(own), values.length === 0 ? undefined : values.join(', '))
          }
          const text = expected.map(([own, each]) => `${own}: ${each}\r\n`).join('')
          assert.equal(
            fieldsText(fields).replace(/^[^:]*/gm, (own) => own.toLowerCase()),
            text,
          )
        },
      ),
      { numRuns: 1_000 },
    )
  })

  it('are written in their order and spelling, without the white space around their values (RFC 9112 §5.1)', () => {
    const section = 'HoSt:h\r\nA:  1\t\r\nB:\t2\r\nC: 3 4 \r\nX_y:  \t\r\nD: \xe9\t\xe9\r\n'
    const { fields } = sectionOf(section)
    assert.equal(fieldsText(fields), 'HoSt: h\r\nA: 1\r\nB: 2\r\nC: 3 4\r\nX_y: \r\nD: \xe9\t\xe9\r\n')
    fields.remove('host')
    fields.remove('c')
    fields.add('z', '1')
    fields.detach()
    assert.equal(fieldsText(fields), 'A: 1\r\nB: 2\r\nX_y: \r\nD: \xe9\t\xe9\r\nz: 1\r\n')
  })

  it('are written as one run where no value has white space around it', () => {
    const { fields } = sectionOf('HoSt: h\r\nA:1\r\nX_y: \r\n')
    assert.equal(fields.layout, LINES)
    assert.equal(fieldsText(fields), 'HoSt: h\r\nA:1\r\nX_y: \r\n')
  })

  it('are not taken for padded because those before them were', () => {
    const { fields, again } = sectionOf('a: 1 \r\n')
    assert.equal(fields.layout, null)
    again('a: 1\r\n')
    assert.equal(fields.layout, LINES)
  })

  it('are written one by one where another codec laid them out', () => {
    const fields = new Fields()
    // Length-prefixed, as in a literal of HPACK.
    fields.clear(Buffer.from('\x01a\x03one\x02bc\x00'))
    fields.push(1, 2, 3, 6)
    fields.push(7, 9, 10, 10)
    fields.end = 10
    fields.layout = Symbol('another')
    assert.equal(fieldsText(fields), 'a: one\r\nbc: \r\n')
    fields.detach()
    fields.remove('bc')
    fields.add('d', '1')
    assert.equal(fieldsText(fields), 'a: one\r\nd: 1\r\n')
  })

  it('leave out the white space around values that we add', () => {
    const fields = Fields.from({ a: ' \t1 2\t', b: ' ', c: '' })
    fields.set('d', '\t\xa0')
    assert.deepEqual(fields.added, ['a', '1 2', 'b', '', 'c', '', 'd', '\xa0'])
  })

  it('compare names loosely without regard to what is neither letter nor digit', () => {
    for (const alike of ['x-user', 'X_User', 'x.user', 'x~USER', "x'user", 'x|user'])
      for (const [name, is] of [
        ['x-user', true],
        ['x-usen', false],
        ['xauser', false],
      ] as const) {
        const { fields } = parsed([[alike, '1']])
        assert.equal(fields.nameIsLoosely(0, name), is, alike)
        assert.equal(looseName(alike) === name, is, alike)
        fields.removeLoosely(name)
        assert.equal(pairsOf(fields).length, is ? 0 : 1, alike)
      }
    // A hyphen of ours is no letter of theirs.
    assert.equal(parsed([['xauser', '1']]).fields.nameIsLoosely(0, 'x-user'), false)
  })

  it('compare names without regard to case, loosely also without regard to _ and -', () => {
    const { fields } = parsed([['X_Forwarded-FOR', '1']])
    assert.equal(fields.nameIs(0, 'x_forwarded-for'), true)
    assert.equal(fields.nameIs(0, 'x-forwarded-for'), false)
    assert.equal(fields.nameIsLoosely(0, 'x-forwarded-for'), true)
    assert.equal(fields.nameIsLoosely(0, 'x-forwarded-fo'), false)
    assert.equal(fields.nameIs(0, 'x_forwarded-form'), false)
    assert.equal(fields.nameBeginsLoosely(0, 'x-forwarded-'), true)
    assert.equal(fields.nameBeginsLoosely(0, 'x-forwarded-for'), true)
    assert.equal(fields.nameBeginsLoosely(0, 'x-forwarded-for-'), false)
    assert.equal(fields.nameBeginsLoosely(0, 'x-original'), false)
  })

  it('do not take other bytes for letters of another case', () => {
    // 0x40 and 0x5b stand around A-Z, 0x60 and 0x7b around a-z.
    const { fields } = parsed([['^`|~', '1']])
    assert.equal(fields.nameIs(0, '~\\^'), false)
    assert.equal(fields.nameIs(0, '^`|~'), true)
  })

  it('still know where a removed field stood', () => {
    const { fields } = parsed([
      ['first', '1'],
      ['second', '2'],
    ])
    fields.removeAt(0)
    fields.removeAt(0)
    assert.deepEqual([fields.isRemoved(0), fields.isRemoved(1)], [true, false])
    assert.deepEqual([fields.nameStart(0), fields.nameLength(0), fields.nameAt(0)], [16, 5, 'first'])
    fields.detach()
    assert.deepEqual([fields.isRemoved(0), fields.nameStart(0), fields.nameAt(0)], [true, 0, 'first'])
    assert.deepEqual(pairsOf(fields), [['second', '2']])
  })

  it('forget everything when cleared', () => {
    const { fields } = parsed([['a', '1']])
    fields.removeAt(0)
    fields.add('b', '2')
    fields.clear()
    assert.deepEqual([pairsOf(fields), fields.untouched, fields.added, fieldsText(fields)], [[], true, null, ''])
  })

  for (const bad of ['a\r\nb', 'a\nb', 'a\rb', '\0', '\x7f', '\u0100', 'a\u2028b'])
    it(`never take ${JSON.stringify(bad)} for a value`, () => {
      assert.equal(isFieldValue(bad), false)
      assert.throws(() => new Fields().add('x', bad), TypeError)
      assert.throws(() => Fields.from({ x: bad }), TypeError)
      const { fields } = parsed([['x', '1']])
      assert.throws(() => fields.set('x', bad), TypeError)
    })
})

describe('a copy of fields', () => {
  it('has bytes of its own and is changed by itself, whatever was removed, added or kept out of tables', () => {
    const bytes = Buffer.from('xxa: 1\r\nb: 2\r\nc: 3\r\n', 'latin1')
    const fields = new Fields()
    fields.clear(bytes)
    fields.push(2, 3, 5, 6)
    fields.keepUnindexed()
    fields.push(8, 9, 11, 12)
    fields.push(14, 15, 17, 18)
    fields.end = 20
    fields.layout = LINES
    fields.remove('c')
    fields.add('d', '4')
    const copy = fields.copy()
    bytes.fill('#')
    assert.equal(fieldsText(copy), 'a: 1\r\nb: 2\r\nd: 4\r\n')
    assert.deepEqual([copy.isUnindexed(0), copy.isUnindexed(1), copy.untouched], [false, true, false])
    copy.remove('a')
    copy.remove('d')
    copy.add('e', '5')
    assert.equal(fieldsText(copy), 'b: 2\r\ne: 5\r\n')
    assert.deepEqual([fields.count, fields.isRemoved(0), fields.added], [3, false, ['d', '4']])
  })
})

describe('fields that the gateway makes itself', () => {
  it('are sent as any other that was added, in order', () => {
    const fields = new Fields()
    fields.addOwn('age', '0')
    fields.addOwn('cache-status', 'headgate;hit')
    assert.equal(fieldsText(fields), 'age: 0\r\ncache-status: headgate;hit\r\n')
    fields.remove('age')
    assert.deepEqual(fields.added, ['cache-status', 'headgate;hit'])
  })
})
