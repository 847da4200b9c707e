import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Fields } from '../../../src/message/fields.ts'
import type { ResponseHead } from '../../../src/message/head.ts'
import type { LocalResponse } from '../../../src/message/local-response.ts'
import { MAX_PAGE_BYTES } from '../../../src/policy/errors/filter.ts'
import type { ErrorPage } from '../../../src/policy/errors/page.ts'
import { errors } from '../../../src/policy/errors/policy.ts'
import { problemResponse } from '../../../src/policy/problem.ts'
import { PLAIN, pairs, type TestDeps, TestExchange, testDeps } from '../exchange.ts'

const PAGE: ErrorPage = { codes: ['502-504'], contentType: 'text/html', body: '<h1>Later</h1>' }

function filterOf(pages: readonly ErrorPage[], services: TestDeps = testDeps()) {
  return errors.create(errors.plan(pages, 'shop')!, services, PLAIN)!
}

function decide(pages: readonly ErrorPage[], head: ResponseHead, local: LocalResponse | null, services?: TestDeps) {
  const decision = filterOf(pages, services).onResponse!(new TestExchange(), head, local)
  assert.ok(!(decision instanceof Promise))
  return decision
}

const headOf = ({ status, fields, body }: LocalResponse): ResponseHead => ({
  status,
  fields,
  bodyLength: body?.length ?? 0,
})
const refusal = () => problemResponse('NoEndpoint', { id: 'id-1' })
const upstream = (status: number, fields: Readonly<Record<string, string>> = {}): ResponseHead => ({
  status,
  fields: Fields.from(fields),
  bodyLength: 5,
})
const textOf = (response: LocalResponse) => Buffer.from(response.body as Uint8Array).toString('utf8')

describe('an error page', () => {
  it('stands in place of the body of a refusal, with its status, its reason and its other headers', () => {
    const local = refusal()
    const decision = decide([PAGE], headOf(local), local)
    assert.equal(decision?.type, 'replace')
    const { response } = decision!
    assert.deepEqual([response.status, response.reason, textOf(response)], [503, 'NoEndpoint', '<h1>Later</h1>'])
    assert.deepEqual(pairs(response.fields), [
      ['cache-control', 'no-store'],
      ['content-type', 'text/html'],
    ])
  })

  it('is plain text where no media type is given', () => {
    const local = refusal()
    const decision = decide([{ codes: ['503'], body: 'Zoë' }], headOf(local), local)
    assert.equal(decision?.response.fields.get('content-type'), 'text/plain; charset=utf-8')
    assert.equal(textOf(decision!.response), 'Zoë')
  })

  it('drops what described the body of the backend, and keeps all else', () => {
    const kept = { 'x-request-id': 'a', 'retry-after': '5', 'set-cookie': 'a=b', vary: 'accept', server: 'x' }
    const head = upstream(503, {
      ...kept,
      'content-type': 'application/json',
      'content-length': '5',
      trailer: 'x-a',
      'content-encoding': 'gzip',
      'content-language': 'de',
      'content-range': 'bytes */5',
      'content-disposition': 'attachment',
      'content-digest': 'sha-256=:a:',
      'accept-ranges': 'bytes',
      etag: '"1"',
      'last-modified': 'Mon, 01 Jan 2026 00:00:00 GMT',
    })
    const { response } = decide([{ ...PAGE, source: 'Backend' }], head, null)!
    assert.deepEqual(Object.fromEntries(pairs(response.fields)), { ...kept, 'content-type': 'text/html' })
    assert.equal(response.reason, undefined)
  })

  for (const [source, gateway, backend] of [
    [undefined, true, false],
    ['Gateway', true, false],
    ['Backend', false, true],
    ['Any', true, true],
  ] as const)
    it(`of source ${source ?? '(none)'} is for ${gateway ? 'the gateway' : ''} ${backend ? 'backends' : ''}`, () => {
      const pages = [{ ...PAGE, ...(source === undefined ? {} : { source }) }]
      const local = refusal()
      assert.equal(decide(pages, headOf(local), local) !== undefined, gateway)
      assert.equal(decide(pages, upstream(503), null) !== undefined, backend)
    })

  it('never takes the place of what a rule responds with', () => {
    const written: LocalResponse = { status: 503, fields: new Fields(), body: Buffer.from('mine') }
    assert.equal(decide([{ ...PAGE, source: 'Any' }], headOf(written), written), undefined)
  })

  it('is the first that fits', () => {
    const pages = ['one', 'two', 'three'].map((body, i) => ({ codes: [['500'], ['501-503'], ['503']][i]!, body }))
    const local = refusal()
    assert.equal(textOf(decide(pages, headOf(local), local)!.response), 'two')
  })

  it('in a ConfigMap is the one that is there now; without it the response goes out as it was', () => {
    const services = testDeps()
    const pages = [
      { codes: ['503'], bodyRef: { configMapName: 'pages', key: '503.html' } },
      { codes: ['503'], body: 'other' },
    ]
    const filter = filterOf(pages, services)
    const now = () => {
      const local = refusal()
      const decision = filter.onResponse!(new TestExchange(), headOf(local), local)
      assert.ok(!(decision instanceof Promise))
      return decision === undefined ? undefined : textOf(decision.response)
    }
    assert.equal(now(), undefined)
    services.contentsById.set('ConfigMap shop/pages 503.html', Buffer.from('first'))
    assert.equal(now(), 'first')
    services.contentsById.set('ConfigMap shop/pages 503.html', Buffer.from('second'))
    assert.equal(now(), 'second')
    services.contentsById.set('ConfigMap shop/pages 503.html', Buffer.alloc(MAX_PAGE_BYTES + 1))
    assert.equal(now(), undefined)
  })

  it('leaves a head that it does not replace untouched', () => {
    const head = upstream(503, { etag: '"1"' })
    assert.equal(decide([PAGE], head, null), undefined)
    assert.deepEqual(pairs(head.fields), [['etag', '"1"']])
  })

  it('explains itself', () => {
    const pages: ErrorPage[] = [
      { ...PAGE, codes: ['404', '502-504'] },
      { codes: ['500'], source: 'Any', bodyRef: { configMapName: 'pages', key: 'a' } },
    ]
    assert.equal(
      filterOf(pages).explain!(new TestExchange())?.effect,
      'replaces the body of 404, 502-504 of the gateway by 14 bytes of text/html, ' +
        'replaces the body of 500 by ConfigMap shop/pages a',
    )
  })
})

// The oracle reads the ranges as a person does: list every status.
describe('any list of pages', () => {
  const status = fc.integer({ min: 400, max: 599 })
  const code = fc.oneof(
    status.map(String),
    fc.tuple(status, status).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
  )
  const page = fc.record({
    codes: fc.array(code, { minLength: 1, maxLength: 4 }),
    source: fc.constantFrom('Gateway' as const, 'Backend' as const, 'Any' as const),
  })
  const allOf = (text: string): number[] => {
    const [first = 0, last = first] = text.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  }
  it('gives the page of the first entry that lists the status for its source', () => {
    fc.assert(
      fc.property(
        fc.array(page, { maxLength: 8 }),
        fc.integer({ min: 200, max: 599 }),
        fc.boolean(),
        (list, at, ours) => {
          const pages = list.map((entry, i) => ({ ...entry, body: String(i) }))
          const expected = pages.find(
            ({ codes, source }) =>
              codes.flatMap(allOf).includes(at) && (source === 'Any' || (source === 'Gateway') === ours),
          )?.body
          if (pages.length === 0) return assert.equal(errors.plan(pages, 'shop'), undefined)
          const local: LocalResponse = { ...refusal(), status: at }
          const decision = decide(pages, ours ? headOf(local) : upstream(at), ours ? local : null)
          assert.equal(decision === undefined ? undefined : textOf(decision.response), expected)
        },
      ),
    )
  })
})
