import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Causes } from '../../bench/lib/cache-soak/causes.ts'
import { purgeOf } from '../../bench/lib/cache-soak/chaos.ts'
import { Client, emptyCounts, floorAt, type Replica } from '../../bench/lib/cache-soak/clients.ts'
import { SoakOrigin } from '../../bench/lib/cache-soak/origin.ts'
import { type Thing, versionAt, versionIn, World } from '../../bench/lib/cache-soak/world.ts'

const HOUR = 3_600_000

describe('the world of the soak of the cache', () => {
  const world = new World(['one.soak', 'two.soak'], 50, 0)
  const thing = (): Thing => ({ ...world.things[0]!, began: [0, HOUR, 2 * HOUR] })

  it('names thing, variant, version and place in every 64 bytes of a body', () => {
    const [first, second] = world.things
    const body = world.body(first!, 'de', 3)
    assert.equal(body.length, first!.bytes)
    assert.equal(versionIn(body), 3)
    const blocks = body.toString('latin1').match(/.{64}/gs)!
    assert.equal(new Set(blocks).size, blocks.length)
    for (const other of [world.body(first!, 'de', 4), world.body(first!, 'en', 3), world.body(second!, 'de', 3)])
      assert.ok(!body.subarray(0, 64).equals(other.subarray(0, 64)))
  })

  it('says what is too old, what was purged and what there never was', () => {
    const one = thing()
    assert.equal(versionAt(one, HOUR + 1), 1)
    assert.equal(world.outdated(one, 1, HOUR + 1, 0), undefined)
    assert.equal(world.outdated(one, 0, HOUR + 1, 0), undefined, 'fresh for a moment longer')
    assert.match(world.outdated(one, 0, HOUR + 60_000, 0)!, /version 0 is over/)
    assert.match(world.outdated(one, 0, HOUR + 1, 1)!, /purged/)
    for (const version of [3, -1, Number.NaN]) assert.match(world.outdated(one, version, 0, 0)!, /of 2/)
  })

  it('knows what each purge hits', () => {
    const one = world.things[4]!
    const hits = (kind: string) => world.things.filter(purgeOf(kind, one).hit)
    assert.deepEqual(hits('url'), [one])
    assert.ok(hits('prefix').every(({ host, path }) => host === one.host && path.startsWith('/a/')))
    assert.equal(hits('rule').length, 50)
    assert.ok(hits('tag').includes(one) && hits('tag').length > 1 && hits('tag').length < 20)
  })
})

describe('a client of the soak', () => {
  /** Clients for some answers, of an origin whose world is another one where `wrong` says so. */
  async function wrongs(spoil: (served: World, world: World, replica: Replica) => void): Promise<readonly string[]> {
    const clock = () => performance.now()
    const world = new World(['one.soak'], 5, clock() - HOUR)
    const served = new World(['one.soak'], 5, clock() - HOUR)
    const causes = new Causes(clock)
    const origin = await SoakOrigin.start(served, clock, causes, () => 1)
    const replica: Replica = { name: 'one', port: origin.port, floors: new Map() }
    const counts = emptyCounts()
    spoil(served, world, replica)
    const client = new Client(world, [replica], counts, clock, causes)
    await client.run(() => counts.wrongs > 30 || counts.checked + counts.wrongs > 60)
    origin.stop()
    assert.ok(counts.checked + counts.wrongs > 5)
    return counts.wrong
  }

  it('finds nothing wrong with an origin that is right', async () => {
    // A POST changes the served world alone: the client then sees versions that it does not know.
    const found = await wrongs(() => {})
    assert.deepEqual(
      found.filter((line) => !/version \d+ of \d+/.test(line)),
      [],
    )
  })

  it('finds them in bodies that it leaves before their end', async () => {
    const clock = () => performance.now()
    const [world, served] = [0, 0].map(() => new World(['one.soak'], 1, clock() - HOUR))
    const body = served!.body.bind(served)
    const causes = new Causes(clock)
    const origin = await SoakOrigin.start(served!, clock, causes, () => 0.011)
    served!.body = (thing, variant, version) => Buffer.from(body(thing, variant, version)).fill('!', 0, 1)
    const counts = emptyCounts()
    const replica: Replica = { name: 'one', port: origin.port, floors: new Map() }
    try {
      // The origin breaks each response off in the middle.
      await new Client(world!, [replica], counts, clock, causes).run(() => counts.wrongs > 3)
    } finally {
      origin.stop()
    }
    assert.ok(
      counts.wrong.some((line) => line.includes('in what came of it')),
      counts.wrong.join('\n'),
    )
    assert.deepEqual(Object.keys(causes.summary().explained), ['the origin cut it'])
  })

  it('finds bytes of another body, an old version and one that was purged', async () => {
    const other = await wrongs((served) => {
      const body = served.body.bind(served)
      served.body = (thing, variant, version) => {
        const right = Buffer.from(body(thing, variant, version))
        right.write('!', right.length - 1)
        return right
      }
    })
    assert.ok(
      other.some((line) => /from \d+ on/.test(line)),
      other.join('\n'),
    )
    const old = await wrongs((_, world) => {
      for (const thing of world.things) thing.began.push(performance.now() - HOUR / 2)
    })
    assert.ok(
      old.some((line) => line.includes('is over')),
      old.join('\n'),
    )
    const purged = await wrongs((_, world, replica) => {
      const now = performance.now()
      for (const thing of world.things) {
        thing.began.push(now)
        floorAt(replica, thing, 1, now)
      }
    })
    assert.ok(
      purged.some((line) => line.includes('was purged')),
      purged.join('\n'),
    )
  })
})

describe('why requests of the soak fail', () => {
  const [thing, other] = new World(['memory.soak'], 2, 0).things
  const [piece] = new World(['tiered.soak'], 1, 0).things
  let now = 0
  const failed = (causes: Causes, asked: number, ended: number, more: object = {}): void =>
    causes.trouble({ what: 'cut off', replica: 'one', thing: thing!, asked, ended, answered: false, ...more })

  it('is what was broken in that time, in that place', async () => {
    now = 0
    const causes = new Causes(() => now)
    await causes.during('replica', 'one', async () => void (now = 100))
    now = 10_000
    await causes.during('worker', 'two', async () => void (now = 10_100))
    now = 30_000
    causes.cut(thing!)
    now = 60_000
    await causes.during('redis', '', async () => void (now = 61_000))
    failed(causes, 50, 60)
    failed(causes, 10_050, 10_060, { replica: 'two' })
    failed(causes, 29_000, 30_001)
    failed(causes, 60_500, 60_501, { thing: piece })
    failed(causes, 90_000, 90_001, { answered: true })
    assert.deepEqual(causes.summary(), {
      explained: {
        'a replica was killed': 1,
        'a worker was ended': 1,
        'the origin cut it': 1,
        'Redis failed': 1,
        'the origin said so': 1,
      },
      unexplained: [],
    })
  })

  it('is not what was broken elsewhere, at another time, or of another thing', async () => {
    now = 0
    const causes = new Causes(() => now)
    await causes.during('replica', 'two', async () => void (now = 100))
    await causes.during('worker', 'two', async () => void (now = 200))
    await causes.during('redis', '', async () => void (now = 300))
    causes.cut(other!)
    now = 20_000
    await causes.during('replica', 'one', async () => void (now = 20_100))
    failed(causes, 50, 60)
    failed(causes, 15_000, 19_999)
    failed(causes, 25_000, 25_001)
    const { explained, unexplained } = causes.summary()
    assert.deepEqual(explained, {})
    assert.equal(unexplained.length, 3)
    assert.match(
      unexplained[2]!,
      /one memory\.soak\S+: cut off, 1 ms after it was asked for, 5001 ms after replica one/,
    )
  })
})
