import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { after, before, describe, it } from 'node:test'
import { lookupSrv, parseSrv } from '../../../src/control/endpoints/srv.ts'
import { srvTimeToLive } from '../../../src/control/endpoints/srv-ttl.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

const A = 1
const SRV = 33

interface SrvRecord {
  readonly priority: number
  readonly weight: number
  readonly port: number
  readonly target: string
}

const encodeName = (name: string): Buffer =>
  Buffer.concat([
    ...name
      .split('.')
      .filter((label) => label !== '')
      .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])),
    Buffer.from([0]),
  ])

function srvData({ priority, weight, port, target }: SrvRecord): Buffer {
  const head = Buffer.alloc(6)
  for (const [i, value] of [priority, weight, port].entries()) head.writeUInt16BE(value, 2 * i)
  return Buffer.concat([head, encodeName(target)])
}

/** By name: SRV records, or A records. */
const ZONE: Readonly<Record<string, readonly (SrvRecord | readonly number[])[]>> = {
  '_http._tcp.api.test': [
    { priority: 10, weight: 3, port: 8080, target: 'one.test' },
    { priority: 10, weight: 0, port: 8081, target: 'two.test' },
    { priority: 10, weight: 1, port: 8082, target: 'missing.test' },
    { priority: 20, weight: 9, port: 9, target: 'backup.test' },
  ],
  '_quick._tcp.api.test': [{ priority: 0, weight: 1, port: 80, target: 'one.test' }],
  '_none._tcp.api.test': [{ priority: 0, weight: 0, port: 0, target: '.' }],
  '_dead._tcp.api.test': [{ priority: 0, weight: 0, port: 1, target: 'missing.test' }],
  'one.test': [
    [10, 0, 0, 1],
    [10, 0, 0, 2],
  ],
  'two.test': [[10, 0, 0, 3]],
  'backup.test': [[10, 0, 0, 9]],
}

function answer(query: Buffer): Buffer {
  const labels: string[] = []
  let at = 12
  for (; query[at] !== 0; at += query[at]! + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!))
  const question = query.subarray(12, at + 5)
  const type = query.readUInt16BE(at + 1)
  const known = ZONE[labels.join('.').toLowerCase()]
  const data = (known ?? []).flatMap((record) => {
    if ('target' in record) return type === SRV ? [srvData(record)] : []
    return type === A ? [Buffer.from(record)] : []
  })
  const head = Buffer.from(query.subarray(0, 12))
  head.writeUInt16BE(known === undefined ? 0x8183 : 0x8180, 2)
  head.writeUInt16BE(data.length, 6)
  head.fill(0, 8, 12)
  const records = data.map((bytes) =>
    Buffer.concat([Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, ttlOf(question, type), 0, bytes.length]), bytes]),
  )
  return Buffer.concat([head, question, ...records])
}

/** Seconds. */
function ttlOf(question: Buffer, type: number): number {
  if (question.includes('quick')) return 4
  return type === SRV ? 30 : 60
}

describe('an SRV name', () => {
  const server = createSocket('udp4')
  const lookup = (name: string) => lookupSrv(name, systemTimers, [`127.0.0.1:${server.address().port}`])
  before(async () => {
    server.on('message', (query, from) => {
      if (!query.includes('_silent')) server.send(answer(query), from.port, from.address)
    })
    await new Promise<void>((resolve) => server.bind(0, '127.0.0.1', resolve))
  })
  after(() => server.close())

  it('leads to the addresses of its first targets, with their ports and weights; one that is missing is passed over', async () => {
    assert.deepEqual((await lookup('_http._tcp.api.test')).addresses.map(parseSrv), [
      { address: '10.0.0.1', port: 8080, weight: 3, hostname: 'one.test' },
      { address: '10.0.0.2', port: 8080, weight: 3, hostname: 'one.test' },
      { address: '10.0.0.3', port: 8081, weight: 1, hostname: 'two.test' },
    ])
  })

  it('may be used as long as the shortest of all records that lead there says', async () => {
    /** A machine that stands still for a second misses the answer. */
    const ttlOfName = async (name: string): Promise<number | undefined> => {
      let ttl: number | undefined
      for (let tries = 0; ttl === undefined && tries < 10; tries++) ttl = (await lookup(name)).ttl
      return ttl
    }
    assert.equal(await ttlOfName('_http._tcp.api.test'), 30_000)
    assert.equal(await ttlOfName('_quick._tcp.api.test'), 4_000)
  })

  it('has no known TTL where no server tells it, and waits for none that is silent', async () => {
    const own = `127.0.0.1:${server.address().port}`
    const ttl = (name: string, servers: readonly string[], within: number) =>
      srvTimeToLive(name, systemTimers, servers, within)
    assert.equal(await ttl('_http._tcp.api.test', ['127.0.0.1:1', own], 30_000), 30_000)
    for (const name of ['_other._tcp.api.test', '_silent._tcp.api.test', '_a..b'])
      assert.equal(await ttl(name, [own], 20), undefined, name)
  })

  it('that says that there is no such service has no address', async () => {
    assert.deepEqual((await lookup('_none._tcp.api.test')).addresses, [])
  })

  it('fails where there is none, and where no target can be resolved', async () => {
    await assert.rejects(lookup('_other._tcp.api.test'), { code: 'ENOTFOUND' })
    await assert.rejects(lookup('_dead._tcp.api.test'), { code: 'ENOTFOUND' })
  })
})
