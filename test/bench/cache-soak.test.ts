import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
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
    const origin = await SoakOrigin.start(served, clock, () => 1)
    const replica: Replica = { name: 'one', port: origin.port, floors: new Map() }
    const counts = emptyCounts()
    spoil(served, world, replica)
    const client = new Client(world, [replica], counts, clock)
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
