import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { answerTtl, encodeQuery, SRV } from '../../../src/control/endpoints/dns-message.ts'

const query = encodeQuery(4_711, '_http._tcp.API.test', SRV)
const question = query.subarray(12, query.indexOf(Buffer.from([0, 0, SRV, 0, 1])) + 5)

interface RecordOfAnswer {
  readonly type: number
  readonly ttl: number
  readonly data?: Buffer
  readonly class?: number
}

function response(records: readonly RecordOfAnswer[], asked = question, flags = 0x8180, id = 4_711): Buffer {
  const header = Buffer.alloc(12)
  for (const [i, value] of [id, flags, 1, records.length].entries()) header.writeUInt16BE(value, 2 * i)
  const answers = records.map(({ type, ttl, data = Buffer.alloc(7), class: kind = 1 }) => {
    const head = Buffer.alloc(12)
    head.writeUInt16BE(0xc00c, 0)
    head.writeUInt16BE(type, 2)
    head.writeUInt16BE(kind, 4)
    head.writeUInt32BE(ttl, 6)
    head.writeUInt16BE(data.length, 10)
    return Buffer.concat([head, data])
  })
  return Buffer.concat([header, asked, ...answers])
}

describe('the TTL in a DNS message', () => {
  it('is the shortest of the records and of the aliases that lead there', () => {
    const records = [
      { type: 5, ttl: 300 },
      { type: SRV, ttl: 60 },
      { type: SRV, ttl: 90 },
    ]
    assert.equal(answerTtl(response(records), query), 60)
    assert.equal(answerTtl(response([{ type: 5, ttl: 9 }, ...records]), query), 9)
    assert.equal(answerTtl(response([{ type: 1, ttl: 1 }, { type: SRV, ttl: 2, class: 3 }, ...records]), query), 60)
  })

  it('is read where the server writes the name in another case, and 0 where it is larger than it may be', () => {
    const lower = Buffer.from(question.toString('latin1').toLowerCase(), 'latin1')
    assert.equal(answerTtl(response([{ type: SRV, ttl: 5 }], lower), query), 5)
    assert.equal(answerTtl(response([{ type: SRV, ttl: 2 ** 31 }]), query), 0)
  })

  it('is none in what is no answer to the query', () => {
    const records = [{ type: SRV, ttl: 5 }]
    const other = encodeQuery(4_711, '_http._tcp.bad.test', SRV)
    assert.equal(answerTtl(response(records, question, 0x8180, 4_712), query), undefined)
    assert.equal(answerTtl(response(records, question, 0x0180), query), undefined, 'a query')
    assert.equal(answerTtl(response(records, question, 0x8183), query), undefined, 'NXDOMAIN')
    assert.equal(answerTtl(response(records, other.subarray(12, 12 + question.length)), query), undefined)
    assert.equal(answerTtl(response([]), query), undefined)
    assert.equal(answerTtl(response([{ type: 5, ttl: 5 }]), query), undefined, 'an alias that leads nowhere')
  })

  it('is none in any other bytes, and reading them ends', () => {
    const good = response([{ type: SRV, ttl: 5 }])
    fc.assert(
      fc.property(fc.nat(good.length), fc.uint8Array({ maxLength: 64 }), (at, bytes) => {
        const broken = Buffer.concat([good.subarray(0, at), bytes])
        const ttl = answerTtl(broken, query)
        assert.ok(ttl === undefined || (ttl >= 0 && ttl <= 2 ** 31))
      }),
    )
  })

  it('is asked for of domain names alone', () => {
    for (const name of ['', 'a..b', 'x'.repeat(64)]) assert.throws(() => encodeQuery(1, name, SRV), RangeError)
  })
})
