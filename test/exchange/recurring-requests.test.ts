import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RecurringRequests } from '../../src/exchange/recurring-requests.ts'
import { RequestHead } from '../../src/http/head.ts'
import type { Peer, PeerListener } from '../../src/transport/peer.ts'

const LIMITS = { head: 8_192, headers: 100, uri: 2_048 }
const listener = (name: string) => ({ name }) as PeerListener
const peerOf = (one: PeerListener) => ({ listener: one, address: '192.0.2.1' }) as Peer
const PEER = peerOf(listener('http'))

const head = (path: string, value = '', name = 'X-A') =>
  Buffer.from(`GET ${path} HTTP/1.1\r\nHost: page.test\r\n${name}: ${value}\r\n\r\n`)

/** @param read whether somebody has looked at the value of the last field @param said the same: one is enough */
function keep(requests: RecurringRequests, bytes: Buffer, said: string, read = false, size = 2_600, peer = PEER): void {
  const parsed = new RequestHead()
  assert.equal(parsed.parse(bytes, 0, bytes.length, LIMITS), bytes.length)
  parsed.fields.valueAt(0)
  if (read) parsed.fields.valueAt(1)
  requests.keep(peer, bytes, parsed.fields, new Said(said), size, null)
}

class Said {
  readonly key: string

  constructor(key: string) {
    this.key = key
  }

  again(): string {
    return this.key
  }

  isSame(other: Said): boolean {
    return other.key === this.key && this.key !== 'alone'
  }
}

const find = (requests: RecurringRequests, bytes: Buffer, peer = PEER) =>
  requests.find(peer, false, bytes, bytes.length)?.again(peer, '', '', Buffer.allocUnsafe) ?? null

describe('requests that come again', () => {
  it('are found whatever is in a field that nobody has read, and by what was read', () => {
    const requests = new RecurringRequests()
    keep(requests, head('/a', '1'), 'any')
    keep(requests, head('/b', '1'), 'one', true)
    keep(requests, head('/b', '2'), 'two', true)
    assert.equal(find(requests, head('/a', 'something else')), 'any')
    assert.equal(find(requests, head('/a', '')), 'any')
    assert.equal(find(requests, head('/b', '1')), 'one')
    assert.equal(find(requests, head('/b', '2')), 'two')
    assert.equal(find(requests, head('/b', '3')), null)
    assert.equal(find(requests, head('/b', '1', 'X-B')), null)
    assert.equal(find(requests, head('/c', '1')), null)
    assert.equal(find(requests, head('/a', '1'), peerOf(listener('http'))), null)
    requests.clear()
    assert.equal(find(requests, head('/a', '1')), null)
  })

  it('are kept ever less often while they come with other values, and soon again where they are not given any more', () => {
    const requests = new RecurringRequests()
    const wanted: number[] = []
    for (let i = 1; i <= 4_096; i++) if (requests.wants(head('/a', String(i)))) wanted.push(i)
    assert.deepEqual(wanted.slice(0, 10), [2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024])
    assert.deepEqual(wanted.slice(10), [1_536, 2_048, 2_560, 3_072, 3_584, 4_096])
    keep(requests, head('/a', '1'), 'said')
    assert.notEqual(find(requests, head('/a', '1')), null)
    requests.lapsed()
    assert.equal(requests.wants(head('/a', '1')), true)
  })

  it('have a head of 4 KiB and 64 fields at most, and all of it', () => {
    const requests = new RecurringRequests()
    const twice = (bytes: Buffer) => requests.wants(bytes) || requests.wants(bytes)
    const bare = head('/a').length
    assert.equal(twice(head('/a', 'x'.repeat(4_096 - bare))), true)
    assert.equal(twice(head('/b', 'x'.repeat(4_097 - bare))), false)
    keep(requests, head('/a', '1'), 'said')
    assert.equal(find(requests, head('/a', 'x'.repeat(4_096 - bare))), 'said')
    assert.equal(find(requests, head('/a', 'x'.repeat(4_097 - bare))), null)
    const fields = (count: number) => Buffer.from(`GET / HTTP/1.1\r\n${'a: b\r\n'.repeat(count)}\r\n`)
    assert.equal(twice(fields(64)), true)
    assert.equal(twice(fields(65)), false)
    const whole = head('/a', '1')
    for (let i = 1; i < whole.length; i++) assert.equal(requests.find(PEER, false, whole, i), null)
    for (const odd of ['\r\nGET', 'GET /a HTTP/1.1\r\n\r\n\r\n']) assert.equal(twice(Buffer.from(odd)), false)
  })

  it('count what is read behind the first 32 fields', () => {
    const requests = new RecurringRequests()
    const many = (last: string) =>
      Buffer.from(`GET / HTTP/1.1\r\nHost: h\r\n${'A: b\r\n'.repeat(32)}X-Last: ${last}\r\n\r\n`)
    keep(requests, many('1'), 'said')
    assert.equal(find(requests, many('1')), 'said')
    assert.equal(find(requests, many('2')), null)
  })

  it('give way to others where they are of no use, and are kept where they are', () => {
    const requests = new RecurringRequests()
    keep(requests, head('/hot', '1'), 'hot')
    let lost = 0
    for (let i = 0; i < 20_000; i++) {
      keep(requests, head(`/${i}`, '1'), String(i))
      if (i % 50 === 0 && find(requests, head('/hot', '2')) !== 'hot') lost++
    }
    assert.equal(lost, 0)
    let kept = 0
    for (let i = 0; i < 20_000; i++) if (find(requests, head(`/${i}`, '1')) !== null) kept++
    // 2 MiB of 2.6 KB each.
    assert.ok(kept > 500 && kept < 820, `${kept} kept`)
    for (let i = 0; i < 3; i++) keep(requests, head(`/large/${i}`, '1'), 'large', false, 1024 * 1024)
    assert.equal(find(requests, head('/large/2', '1')), 'large')
    let left = 0
    for (let i = 0; i < 20_000; i++) if (find(requests, head(`/${i}`, '1')) !== null) left++
    assert.ok(left < 500, `${left} left`)
  })

  it('share what answers them, however many, as long as one of them is there', () => {
    const requests = new RecurringRequests()
    const large = 1024 * 1024
    const named = (i: number) => head(`/a/${i}`, '1')
    for (let i = 0; i < 1_000; i++) keep(requests, named(i), 'same', false, large)
    let kept = 0
    for (let i = 0; i < 1_000; i++) if (find(requests, named(i)) === 'same') kept++
    assert.ok(kept > 900, `${kept} kept`)
    // Of no use to anybody: they go one after the other, and what they share goes with the last one.
    for (let i = 0; i < 8_000; i++) keep(requests, head(`/${i}`, '1'), String(i))
    for (let i = 0; i < 1_000; i++) assert.equal(find(requests, named(i)), null)
    kept = 0
    for (let i = 0; i < 8_000; i++) if (find(requests, head(`/${i}`, '1')) !== null) kept++
    assert.ok(kept > 500, `${kept} kept: the room of the large one is others' again`)
    for (let i = 0; i < 3; i++) keep(requests, named(i), 'alone', false, large)
    kept = 0
    for (let i = 0; i < 3; i++) if (find(requests, named(i)) !== null) kept++
    assert.equal(kept, 1)
  })

  it('are many of one shape and one line at most four times', () => {
    const requests = new RecurringRequests()
    for (let i = 0; i < 100; i++) keep(requests, head('/a', String(i)), String(i), true)
    let kept = 0
    for (let i = 0; i < 100; i++) if (find(requests, head('/a', String(i))) !== null) kept++
    assert.ok(kept > 0 && kept <= 4, `${kept} kept`)
    // Kept again, it takes the place that it has.
    for (let i = 0; i < 1_000; i++) keep(requests, head('/b', '1'), String(i), true, 1_000)
    assert.equal(find(requests, head('/b', '1')), '999')
  })
})
