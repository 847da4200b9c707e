/** CEL in `authorization`: what it may say, what it comes to, and what the worst of it costs. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  checkExpression,
  compileExpression,
  type ExpressionContext,
  MAX_STEPS,
  startSteps,
} from '../../../src/policy/authorization/cel.ts'

const groups = Array.from({ length: 5_000 }, (_, i) => `g${i}`)
/** Larger than any token of 16 KiB. */
const HOSTILE = {
  list: groups,
  object: Object.fromEntries(groups.map((name) => [name, { name }])),
  text: 'a'.repeat(16_000),
  nested: groups.map((name) => [name]),
  mixed: ['a', ...groups.map((name) => [name])],
  few: groups.slice(0, 99),
}
const CONTEXT: ExpressionContext = {
  request: {
    method: 'GET',
    path: '/orders/7',
    query: 'a=b',
    host: 'shop.test',
    scheme: 'https',
    headers: Object.assign(Object.create(null), { 'x-a': '1', long: 'x'.repeat(60_000) }),
    time: new Date('2026-11-29T13:45:00Z'),
  },
  claims: {
    ...JSON.parse('{"level":3,"rate":2.5,"roles":["dev","ops"],"sub":"alice","org":{"unit":{"name":"a"}},"none":null}'),
    ...HOSTILE,
  },
  consumer: 'billing',
  client: { ip: '203.0.113.9' },
}

function result(source: string): boolean | string {
  assert.equal(checkExpression(source), undefined, source)
  startSteps()
  try {
    return compileExpression(source).holds(CONTEXT)
  } catch (error) {
    return (error as Error).message.split('\n', 1)[0]!
  }
}

describe('an expression', () => {
  it('asks about request, claims, consumer and client', () => {
    for (const [source, holds] of [
      ["request.method == 'GET' || claims.level > 2", true],
      ["request.path.startsWith('/orders/') && request.host == 'shop.test' && request.query == 'a=b'", true],
      ["request.scheme == 'https' && request.headers['x-a'] == '1' && !('x-b' in request.headers)", true],
      ["request.path.matches('^/orders/[0-9]+$')", true],
      ["request.path.matches('^/orders/[0-9]+/')", false],
      ["'ops' in claims.roles && claims.roles.exists(role, role.startsWith('d'))", true],
      ["has(claims.org.unit.name) && claims.org.unit.name == 'a'", true],
      ['has(claims.missing)', false],
      ['claims.level == 3 && claims.level in [1, 3] && claims.rate * 2.0 == 5.0', true],
      ['claims.none == null', true],
      ["consumer == 'billing' && client.ip == '203.0.113.9'", true],
      ['request.time.getHours() == 13 && request.time.getDayOfWeek() == 0', true],
      ["request.time < timestamp('2026-12-01T00:00:00Z')", true],
      ["claims.sub == 'bob'", false],
      ["claims.roles.filter(role, role == 'dev').size() == 1", true],
    ] as const)
      assert.equal(result(source), holds, source)
  })

  it('is an error where something is missing or of another type, and never true by it', () => {
    for (const source of [
      "claims.missing == 'x'",
      'claims.sub',
      'claims.sub + 1 == 2',
      'claims.level + 1 == 4',
      'claims.roles.exists(role, role.name == 1)',
      'claims.constructor == 1',
      'claims.sub.matches("a") && claims.nothing',
      "request.headers['x-missing'] == ''",
      'int(claims.sub) == 1',
    ])
      assert.equal(typeof result(source), 'string', source)
    assert.equal(result('has(claims.constructor) || has(claims.__proto__) || has(claims.toString)'), false)
    // An error on one side of || is none where the other side holds, as CEL has it.
    assert.equal(result("claims.missing == 'x' || claims.sub == 'alice'"), true)
  })

  it('is refused where it cannot be one', () => {
    for (const [source, why] of [
      ['', /./],
      ['request.metod == "GET"', /No such key: metod/],
      ['request.method == 1', /no such overload/],
      ['secrets.key == 1', /Unknown variable: secrets/],
      ['1 + 1', /of type int/],
      ['"text"', /of type string/],
      ["claims.sub.split('') == []", /no function split/],
      ['cel.bind(x, claims.sub, x == x)', /no function bind/],
      ["matches('a', 'b')", /written as text/],
      ['claims.sub.matches(claims.pattern)', /written as text/],
      ["claims.sub.matches('a' + 'b')", /written as text/],
      ["claims.sub.matches('(')", /./],
      ["claims.sub.matches('(a{100}){9}')", /too large/],
      ["claims.sub.matches('a{200}') || claims.sub.matches('b{200}')", /too large/],
      ["request.time.getHours('Europe/Berlin') > 8", /UTC/],
      [`${'('.repeat(40)}true${')'.repeat(40)}`, /maxDepth/],
      [`true${' || claims.a == 1'.repeat(50)}`, /maxAstNodes/],
    ] as const)
      assert.match(checkExpression(source) ?? 'fine', why, source)
    assert.throws(() => compileExpression('1 + 1'), TypeError)
  })

  it('ends where it takes too many steps, whatever stands around it', () => {
    for (const source of [
      'claims.list.all(a, claims.list.all(b, claims.list.all(c, true)))',
      'claims.list.exists(a, claims.object == claims.object)',
      '!(claims.list.all(a, claims.list.all(b, a == b)))',
      'claims.list.all(a, claims.list.all(b, a == b)) || true',
      'claims.list.exists(a, a.missing == 1) || true',
      `claims.object == claims.object${' && claims.object == claims.object'.repeat(7)}`,
      'claims.nested.all(a, a == a)',
      // A few elements that are a whole claim each.
      'claims.object in claims.few.map(a, claims.object)',
      'claims.nested in claims.few.map(a, claims.nested)',
      'claims.few.map(a, claims.nested) == claims.few.map(a, claims.nested)',
      'claims.mixed == claims.mixed',
      'claims.list.map(a, claims.list.map(b, a + b)).size() > 1',
      'claims.list.map(a, claims.text + claims.text).size() > 1',
      'claims.list.filter(a, claims.text.contains(a)).size() > 1',
      "claims.text.matches('(x+x+)+y')",
      "request.headers['long'].matches('(x|xx)+$')",
      "claims.list.exists(a, a.matches('^z{30}$')) || true",
    ])
      assert.match(String(result(source)), new RegExp(`more than ${MAX_STEPS} steps|for the pattern`), source)
  })

  it('has the steps of its policy, not of its own', () => {
    startSteps()
    const expression = compileExpression("claims.list.all(a, a != 'x') || true")
    assert.throws(() => expression.holds(CONTEXT), /steps/)
    assert.throws(() => compileExpression('claims.level > 2').holds(CONTEXT), /steps/)
    startSteps()
    assert.equal(compileExpression('claims.level > 2').holds(CONTEXT), true)
  })

  it('never holds by what cannot be evaluated, and takes no more steps than there are', () => {
    const atom = fc.constantFrom(
      ...['claims.list', 'claims.object', 'claims.text', 'claims.missing', 'claims.level', 'claims.nested', 'x', '1'],
      ...['request.headers', "'a'", 'consumer', 'true', 'claims.roles[0]', 'claims.roles[9]'],
    )
    const grown = fc.letrec<{ e: string }>((tie) => ({
      e: fc.oneof(
        { depthSize: 'small', maxDepth: 4 },
        atom,
        fc
          .tuple(tie('e'), fc.constantFrom('==', '!=', '+', '&&', '||', 'in', '<'), tie('e'))
          .map((p) => `(${p.join(' ')})`),
        fc
          .tuple(tie('e'), fc.constantFrom('all', 'exists', 'map', 'filter', 'exists_one'), tie('e'))
          .map(([list, loop, body]) => `${list}.${loop}(x, ${body})`),
        tie('e').map((e) => `!${e}`),
        fc.tuple(tie('e'), tie('e'), tie('e')).map(([a, b, c]) => `(${a} ? ${b} : ${c})`),
        tie('e').map((e) => `size(${e})`),
      ),
    }))
    let ran = 0
    fc.assert(
      fc.property(grown.e, (source) => {
        if (checkExpression(source) !== undefined) return
        ran++
        startSteps()
        try {
          assert.equal(typeof compileExpression(source).holds(CONTEXT), 'boolean')
        } catch (error) {
          assert.ok(error instanceof Error && !(error instanceof assert.AssertionError), source)
        }
      }),
      { numRuns: 600, seed: 12 },
    )
    assert.ok(ran > 50, `${ran} could be evaluated`)
  })
})
