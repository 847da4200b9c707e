import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Exchange } from '../../../src/policy/exchange.ts'
import type { Respond } from '../../../src/policy/policy-set.ts'
import { respond } from '../../../src/policy/respond/filter.ts'
import { make, PLAIN, pairs, TestExchange, testDeps } from '../exchange.ts'

function answerOf(action: { type: 'respond' } & Respond, x: Exchange) {
  const verdict = make(respond, { action }).onRequest!(x)
  assert.ok(verdict !== undefined && 'type' in verdict && verdict.type === 'respond')
  return verdict.response
}

describe('a fixed response', () => {
  it('has its status, type and body', () => {
    const answer = answerOf(
      { type: 'respond', statusCode: 200, contentType: 'text/html', body: 'Zoë' },
      new TestExchange(),
    )
    assert.equal(answer.status, 200)
    assert.deepEqual(pairs(answer.fields), [['content-type', 'text/html']])
    assert.equal(Buffer.from(answer.body as Uint8Array).toString('utf8'), 'Zoë')
  })

  it('is plain text in UTF-8 where no type is given', () => {
    const answer = answerOf({ type: 'respond', statusCode: 200, body: 'x' }, new TestExchange())
    assert.equal(answer.fields.get('content-type'), 'text/plain; charset=utf-8')
  })

  it('says nothing about a type where there is no body', () => {
    for (const body of [undefined, '']) {
      const action = {
        type: 'respond',
        statusCode: 200,
        contentType: 'text/html',
        ...(body === undefined ? {} : { body }),
      } as const
      const answer = answerOf(action, new TestExchange())
      assert.deepEqual([answer.body, pairs(answer.fields)], [null, []])
    }
  })

  it('never has a body with 204, 205 and 304', () => {
    for (const statusCode of [204, 205, 304]) {
      const answer = answerOf({ type: 'respond', statusCode, body: 'x' }, new TestExchange())
      assert.deepEqual([answer.body, pairs(answer.fields)], [null, []])
    }
  })

  it('hands the body over for HEAD too, so that its length can be told', () => {
    const answer = answerOf({ type: 'respond', statusCode: 200, body: 'pong' }, new TestExchange({ method: 'HEAD' }))
    assert.equal(answer.body?.length, 4)
  })

  it('has fields of its own each time', () => {
    const filter = make(respond, { action: { type: 'respond', statusCode: 200, body: 'x' } })
    const [one, other] = [filter.onRequest!(new TestExchange()), filter.onRequest!(new TestExchange())] as never[]
    const fieldsOf = (verdict: { response: { fields: unknown } }) => verdict.response.fields
    assert.notEqual(fieldsOf(one!), fieldsOf(other!))
  })

  it('explains itself', () => {
    const filter = make(respond, { action: { type: 'respond', statusCode: 200, body: 'pong' } })
    const effect = 'answers 200 with a body of 4 bytes'
    assert.deepEqual(filter.explain!(new TestExchange()), { filter: 'respond', effect, status: 200 })
    assert.equal(respond.create(PLAIN, testDeps()), undefined)
  })
})
