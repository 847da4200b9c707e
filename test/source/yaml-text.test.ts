import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { stringify } from 'yaml'
import { inspectJson, type JsonReport, locateInJson } from '../../src/source/json-scan.ts'
import { yaml11Difference } from '../../src/source/yaml-1-1.ts'
import { LineIndex, locateInText, parseJson, parseYaml } from '../../src/source/yaml-text.ts'

const only = (text: string) => {
  const { documents, errors } = parseYaml(text)
  assert.deepEqual(errors, [])
  assert.equal(documents.length, 1)
  return documents[0]!.value
}

const inspect = (text: string, maxSigns = 50_000): JsonReport => {
  const steps = inspectJson(text, maxSigns)
  for (;;) {
    const { done, value } = steps.next()
    if (done === true) return value
  }
}

describe('parsing YAML', () => {
  it('reads the core schema of 1.2: `off` is a text and 010 is ten', () => {
    assert.deepEqual(only('a: off\nb: 010\nc: 0o10\nd: ~\ne: "1"\n'), { a: 'off', b: 10, c: 8, d: null, e: '1' })
  })

  it('resolves anchors and merge keys, as kubectl does', () => {
    assert.deepEqual(only('a: &x { b: 1 }\nc: { <<: *x, d: 2 }\n'), { a: { b: 1 }, c: { b: 1, d: 2 } })
  })

  it('omits empty documents', () => {
    assert.equal(parseYaml('---\n# nothing\n---\n---\na: 1\n').documents.length, 1)
    assert.deepEqual(parseYaml('').documents, [])
  })

  for (const [what, text, message, at] of [
    ['a duplicate key', 'a: 1\nb: 2\na: 3\n', /twice/, '3:1'],
    ['a tab that indents', 'a:\n\tb: 1\n', /tab/, '2:1'],
    ['an open bracket', 'a: [1, 2\nb: 3\n', /missing|out of place|sufficiently/, '2:1'],
    ['an unknown tag', 'a: !Ref b\n', /tag/, '1:4'],
    ['an alias to nothing', 'a: *b\n', /alias|anchor/i, '1:1'],
    ['ten thousand brackets', '['.repeat(10_000), /./, '1:'],
  ] as const)
    it(`rejects ${what}, with its location`, () => {
      const { documents, errors } = parseYaml(text)
      assert.deepEqual(documents, [])
      assert.equal(errors[0]?.severity, 'error')
      assert.match(errors[0]!.message, message)
      const { line, column } = new LineIndex(text).at(errors[0]!.offset)
      assert.ok(`${line}:${column}`.startsWith(at), `${line}:${column}`)
    })

  it('bounds the expansion of aliases', () => {
    const levels = ['a: &a [x, x, x, x, x, x, x, x, x, x]']
    for (let i = 0; i < 12; i++) {
      const [before, here] = [String.fromCharCode(97 + i), String.fromCharCode(98 + i)]
      levels.push(`${here}: &${here} [${Array(10).fill(`*${before}`).join(', ')}]`)
    }
    const begun = performance.now()
    const { documents, errors } = parseYaml(levels.join('\n'))
    assert.deepEqual(documents, [])
    assert.match(errors[0]!.message, /aliases/)
    assert.ok(performance.now() - begun < 2_000)
  })

  const many = (count: number, piece: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => piece(i)).join('')
  for (const [what, text, message] of [
    ['thousands of keys, which the parser compares pair by pair', many(20_000, (i) => `k${i}: 1\n`), /divide it/],
    [
      'thousands of anchors',
      many(5_000, (i) => `- &a${i} x\n`) + many(5_000, (i) => `- *a${i}\n`),
      /aliases|divide it/,
    ],
    ['two megabytes of list', `a:\n${'- x\n'.repeat(400_000)}`, /divide it/],
    ['faults without number', '\t- a\n'.repeat(50_000), /divide it/],
    ['a megabyte of brackets', '['.repeat(1_000_000), /nested too deeply/],
  ] as const)
    it(`is not blocked by ${what}`, () => {
      const before = process.cpuUsage()
      assert.match(parseYaml(text).errors[0]!.message, message)
      const { user, system } = process.cpuUsage(before)
      assert.ok(user + system < 1_000_000, `${user + system} µs`)
    })

  it('never throws, and reports an error where it returns no document', () => {
    const piece = fc.constantFrom(
      'a',
      ': ',
      '- ',
      '\n',
      '  ',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      '&a ',
      '*a',
      '!t ',
      '|',
      '>',
      '---\n',
      '#',
      '%',
      '\t',
      '?',
      ',',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const text = pieces.join('')
        for (const { offset } of parseYaml(text).errors) assert.ok(offset >= 0 && offset <= text.length)
      }),
    )
  })
})

describe('parsing JSON', () => {
  it('returns the result of JSON.parse', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value)
        const { documents, errors } = parseJson(text)
        assert.deepEqual(errors, [])
        assert.deepEqual(
          documents.map((document) => document.value),
          value === null ? [] : [JSON.parse(text)],
        )
      }),
    )
  })

  it('rejects duplicate keys of one object, and nothing else', () => {
    assert.deepEqual(inspect('[{"a":1},{"a":{"a":2}},{"b":"\\"a\\":"}]').duplicate, null)
    assert.deepEqual(inspect('{"a":[1,{"b":1}],"\\u0061":2}').duplicate, { key: 'a', offset: 17 })
    assert.match(parseJson('{"a":1,"a":2}').errors[0]!.message, /"a" occurs twice/)
  })

  it('locates errors of invalid JSON', () => {
    const text = '{\n  "a": 1,\n  "b": [1, 2\n}\n'
    const { line } = new LineIndex(text).at(parseJson(text).errors[0]!.offset)
    assert.equal(line, 4)
  })

  it('counts tokens per element of a list at the top level, and for other texts as a whole', () => {
    const list = JSON.stringify({ kind: 'List', items: [[1, 2], { a: [1, 2, 3, 4, 5, 6, 7, 8, 9] }, [3]] })
    assert.equal(inspect(list, 30).excess, null)
    assert.equal(inspect(list, 15).excess, list.indexOf('{"a"'))
    assert.equal(
      inspect(
        JSON.stringify({
          spec: {
            a: [
              [1, 2],
              [3, 4],
            ],
            b: [1, 2, 3],
          },
        }),
        20,
      ).excess,
      0,
    )
  })

  it('rejects nesting that would overflow the stack', () => {
    assert.match(parseJson(`${'['.repeat(5_000)}${']'.repeat(5_000)}`).errors[0]!.message, /too deeply/)
  })

  it('locates the items of a List in one pass', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 6 }), fc.jsonValue(), (items, other) => {
        const text = JSON.stringify({ other, items })
        assert.deepEqual(
          inspect(text).items,
          items.map((_, i) => locateInJson(text, ['items', i])),
        )
      }),
    )
  })
})

describe('the limit of one object', () => {
  const fields = (count: number) => ({
    spec: { list: Array.from({ length: count / 2 }, (_, i) => ({ name: `x${i}`, value: 'y' })) },
  })

  it('is the number of fields in docs/cli.md', () => {
    assert.deepEqual(parseYaml(stringify(fields(5_000))).errors, [])
    assert.deepEqual(parseJson(JSON.stringify(fields(9_000))).errors, [])
  })

  it('is reported in tokens', () => {
    for (const { errors } of [parseYaml(stringify(fields(8_000))), parseJson(JSON.stringify(fields(12_000)))])
      assert.match(errors[0]?.message ?? '', /^There are more than 50000 tokens \(.*\) in one object; divide it\.$/)
  })
})

describe('the limit of what texts are put together from', () => {
  const SAID = /^The texts in quotes or of several lines take too much memory in one object: .*; divide it\.$/
  const ways: readonly (readonly [string, (pieces: number) => string])[] = [
    ['characters in double quotes', (pieces) => `a: "${'x'.repeat(pieces)}"`],
    ['texts in double quotes', (pieces) => `a:\n${`- "${'x'.repeat(1_000)}"\n`.repeat(pieces / 1_000)}`],
    ['line ends in double quotes', (pieces) => `a: "x\n${'\n'.repeat(pieces)} y"`],
    ['lines of a block', (pieces) => `a: |\n${'  x\n'.repeat(pieces / 4)}`],
    ['folded lines', (pieces) => `a: >\n${'  x\n'.repeat(pieces / 4)}`],
    ['empty lines', (pieces) => `a: |\n  x\n${'\n'.repeat(pieces / 4)}  y\n`],
    ['lines in single quotes', (pieces) => `a: 'x${'\n  x'.repeat(pieces / 4)}'`],
    ['lines of a plain text', (pieces) => `a: x${'\n  x'.repeat(pieces / 4)}`],
  ]
  for (const [name, of] of ways)
    it(`is about ${name}`, () => {
      assert.deepEqual(parseYaml(of(900_000)).errors, [])
      assert.match(parseYaml(of(1_100_000)).errors[0]?.message ?? '', SAID)
    })

  it('is not about what needs no parts', () => {
    for (const text of [`'${'x'.repeat(1_900_000)}'`, 'x'.repeat(1_900_000), `|\n  ${'x'.repeat(1_900_000)}`])
      assert.deepEqual(parseYaml(`a: ${text}\n`).errors, [])
  })
})

describe('locating a field', () => {
  /** Every path into a value. */
  const paths = (value: unknown): (string | number)[][] =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, child]) => {
          const step = Array.isArray(value) ? Number(key) : key
          return [[step], ...paths(child).map((path) => [step, ...path])]
        })
      : []
  const key = fc.stringMatching(/^[a-z]{1,4}$/)
  const tree = fc.letrec((tie) => ({
    node: fc.oneof(
      { maxDepth: 4 },
      fc.nat(99),
      fc.array(tie('node'), { maxLength: 3 }),
      fc.dictionary(key, tie('node'), { maxKeys: 3 }),
    ),
  })).node

  // A member is found at its key; the text from there must begin with that key and be followed by its value.
  it('locates every member at its key, in YAML and in JSON', () => {
    fc.assert(
      fc.property(fc.dictionary(key, tree, { minKeys: 1 }), (value) => {
        for (const text of [stringify(value), JSON.stringify(value, null, 1)])
          for (const path of paths(value)) {
            const last = path.at(-1)
            const rest = text.slice(locateInText(text, path))
            if (typeof last === 'string') assert.match(rest, new RegExp(`^["']?${last}["']?:`), `${path} in ${text}`)
          }
      }),
    )
  })

  it('falls back to the nearest existing ancestor', () => {
    const text = 'a:\n  b: 1\nc: [x]\n'
    const at = (path: (string | number)[]) => {
      const { line, column } = new LineIndex(text).at(locateInText(text, path))
      return `${line}:${column}`
    }
    assert.deepEqual(
      [at(['a', 'z']), at(['a', 'b', 'c']), at(['c', 5]), at(['c', 0]), at(['none']), at([])],
      ['1:1', '2:3', '3:1', '3:5', '1:1', '1:1'],
    )
  })

  it('follows an alias to the location of the value', () => {
    const text = 'a: &x { b: 1 }\nc: *x\n'
    assert.equal(locateInText(text, ['c', 'b']), text.indexOf('b: 1'))
  })
})

describe('scalars that kubectl reads differently', () => {
  for (const [source, value, expected] of [
    ['on', 'on', /boolean true.*quotes/],
    ['Off', 'Off', /boolean false/],
    ['y', 'y', /boolean true/],
    ['NO', 'NO', /boolean false/],
    ['010', 10, /as 8, Headgate as 10/],
    ['-0755', -755, /as -493/],
    ['1_000', '1_000', /as 1000/],
    ['0b101', '0b101', /as 5/],
    ['1:30', '1:30', /Some parsers.*90/],
  ] as const)
    it(`reports ${source}`, () => assert.match(yaml11Difference(source, value) ?? '', expected))

  for (const [source, value] of [
    ['true', true],
    ['null', null],
    ['12', 12],
    ['0', 0],
    ['0x1f', 31],
    ['0o17', 15],
    ['1.5', 1.5],
    ['08', 8],
    ['10.0.0.1', '10.0.0.1'],
    ['::1', '::1'],
    ['api:443', 'api:443'],
    ['onward', 'onward'],
    ['2026-01-01', '2026-01-01'],
    ['30s', '30s'],
  ] as const)
    it(`accepts ${source}`, () => assert.equal(yaml11Difference(source, value), null))

  it('accepts quoted scalars, and reports keys as well', () => {
    assert.deepEqual(parseYaml('a: "on"\nb: \'010\'\nc: |\n  off\n').documents[0]?.warnings, [])
    assert.equal(parseYaml('on: 1\n').documents[0]?.warnings[0]?.offset, 0)
  })
})
