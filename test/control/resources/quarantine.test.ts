/**
 * Objects at which control threads ended: set aside by version, tried again later and later, forgotten when they do no
 * harm.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Route } from '../../../src/api/route.ts'
import { createValidator } from '../../../src/api/validate.ts'
import { Quarantine } from '../../../src/control/resources/quarantine.ts'
import { ResourceCache } from '../../../src/control/resources/resource-cache.ts'
import { WorkJournal } from '../../../src/shared-memory/work-journal.ts'
import { readSchemas } from '../../../src/source/crds.ts'
import type { SourceEvent } from '../../../src/source/source.ts'
import type { ServedVersion } from '../../../src/thread/retained-state.ts'
import { type Suspect, SuspectList } from '../../../src/thread/suspect-list.ts'
import { SETTINGS } from '../../compile/world.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

const NAME = 'Route a/shop'

function upsert(body: string, more: object = {}, rules = 1): SourceEvent & { type: 'upsert' } {
  const raw = {
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Route',
    metadata: { name: 'shop', namespace: 'a' },
    spec: {
      rules: Array.from({ length: rules }, (_, i) => ({
        name: `r${i}`,
        matches: Array.from({ length: 16 }, (_, m) => ({ path: { value: `/${i}/${m}` } })),
        respond: { statusCode: 200, body },
      })),
    },
    ...more,
  }
  return { type: 'upsert', kind: 'Route', key: 'a/shop', raw, origin: { cluster: true } }
}

/** @param drift added to the wall clock as time goes on */
function quarantine(suspects: readonly Suspect[] = [], drift: (now: number) => number = () => 0) {
  const time = new VirtualTime()
  const keeper = time.keeper(0, () => 1_800_000_000_000 + time.now + drift(time.now))
  const retried: SourceEvent[] = []
  const cleared: string[] = []
  const kept = new Map<string, ServedVersion>()
  const journal = new WorkJournal(WorkJournal.allocate())
  const absolute = suspects.map((suspect) => ({ ...suspect, until: keeper.wall() + suspect.until }))
  const one = new Quarantine(absolute, journal, keeper, {
    retry: (event) => retried.push(event),
    cleared: (name) => cleared.push(name),
    keep: (served) => kept.set(`${served.kind} ${served.key}`, served),
    drop: (name) => kept.delete(name),
  })
  return { one, time, retried, cleared, kept, journal }
}

describe('the list of suspects', () => {
  it('lets each of them wait longer, up to an hour, and forgets one that was cleared', () => {
    const list = new SuspectList()
    const waits = Array.from({ length: 8 }, () => list.add([NAME], 1_000)[0]!.until - 1_000)
    assert.deepEqual(waits, [60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 3_600_000, 3_600_000])
    list.clear(NAME)
    assert.deepEqual(list.all, [])
    assert.equal(list.add([NAME], 0)[0]!.deaths, 1)
  })
  it('suspects no object where many were at hand, and stays bounded', () => {
    const list = new SuspectList()
    assert.deepEqual(
      list.add(
        Array.from({ length: 17 }, (_, i) => `Route a/${i}`),
        0,
      ),
      [],
    )
    for (let i = 0; i < 1000; i++) list.add([`Route a/${i}`], 0)
    assert.equal(list.all.length, 256)
  })
})

describe('an object that is set aside', () => {
  const suspects: readonly Suspect[] = [{ name: NAME, deaths: 1, until: 60_000 }]

  it('is not processed in the version first seen, even if its status changes', () => {
    const { one } = quarantine(suspects)
    const problem = one.problem(NAME, upsert('one'))
    assert.equal(problem?.reason, 'Quarantined')
    const touched = upsert('one', { status: { conditions: [{ type: 'Accepted', reason: 'Quarantined' }] } })
    assert.equal(one.problem(NAME, touched)?.reason, 'Quarantined')
    assert.equal(one.problem('Route a/other', upsert('one')), undefined)
  })
  it('is worked on when it is another version, and cleared when that is compiled', () => {
    const { one, cleared } = quarantine(suspects)
    one.problem(NAME, upsert('one'))
    assert.equal(one.problem(NAME, upsert('two')), undefined)
    one.taken(NAME, true)
    // A compile that began before does not know of it.
    one.published()
    assert.deepEqual(cleared, [])
    one.compiling()
    one.published()
    assert.deepEqual(cleared, [NAME])
  })
  it('is tried again by itself', async () => {
    const { one, time, retried } = quarantine(suspects)
    const event = upsert('one')
    one.problem(NAME, event)
    await time.pass(59_000)
    assert.deepEqual(retried, [])
    await time.pass(2_000)
    assert.deepEqual(retried, [event])
    assert.equal(one.problem(NAME, event), undefined)
  })
  it('is tried again also where the wall clock is behind then, by a rounding or by an hour', async () => {
    for (const behind of [1, 3_600_000]) {
      const { one, time, retried } = quarantine(suspects, (now) => (now > 30_000 ? -behind : 0))
      const event = upsert('one')
      one.problem(NAME, event)
      await time.pass(61_000)
      assert.deepEqual(retried, [event])
      assert.equal(one.problem(NAME, event), undefined)
    }
  })
  it('waits for no longer where the wall clock was set back by a year before the control thread began', async () => {
    const year = 365 * 86_400_000
    const { one, time, retried } = quarantine([{ name: NAME, deaths: 2, until: year + 120_000 }])
    const event = upsert('one')
    assert.match(one.problem(NAME, event)?.message ?? '', /until 2027-01-15T08:02:00.000Z;/)
    await time.pass(119_000)
    assert.deepEqual(retried, [])
    await time.pass(2_000)
    assert.deepEqual(retried, [event])
  })
  it('reports how often a control thread ended at it', () => {
    const messageAt = (deaths: number) =>
      quarantine([{ name: NAME, deaths, until: 60_000 }]).one.problem(NAME, upsert('one'))?.message ?? ''
    assert.match(messageAt(1), /while it worked on this version, so it is set aside until 2027-/)
    assert.match(messageAt(3), /while it worked on this version \(3 times\), so it is set aside/)
  })
  it('is forgotten when it is deleted', async () => {
    const { one, cleared, time, retried } = quarantine(suspects)
    one.problem(NAME, upsert('one'))
    one.forget(NAME)
    assert.deepEqual(cleared, [NAME])
    assert.equal(one.problem(NAME, upsert('one')), undefined)
    await time.pass(100_000)
    assert.deepEqual(retried, [])
  })
  it('serves its last good version, and is refused by name where there is none', () => {
    const validator = createValidator(readSchemas())
    const verdict = validator.check('Route', upsert('good').raw)
    assert.ok(verdict.ok)
    const { one } = quarantine(suspects)
    const cache = new ResourceCache(
      validator,
      SETTINGS,
      [{ kind: 'Route', key: 'a/shop', object: verdict.object }],
      undefined,
      one,
    )
    cache.accept([upsert('bad')])
    const { routes } = cache.resources()
    assert.equal(routes.get('a/shop')?.object.spec.rules[0]?.respond?.body, 'good')
    assert.equal(routes.get('a/shop')?.stale?.problems[0]?.reason, 'Quarantined')
    const empty = new ResourceCache(validator, SETTINGS, [], undefined, quarantine(suspects).one)
    empty.accept([upsert('bad')])
    assert.equal(empty.resources().routes.size, 0)
    assert.equal(empty.problems()[0]?.problems[0]?.reason, 'Quarantined')
  })
})

function bodyOf(version: ServedVersion | undefined): string | undefined {
  return (version?.object as Route | undefined)?.spec.rules[0]?.respond?.body
}

describe('the object being processed', () => {
  const validator = createValidator(readSchemas())

  it('is in the journal while it is worked on, and nothing in between', () => {
    const { one, journal } = quarantine()
    const cache = new ResourceCache(validator, SETTINGS, [], undefined, one)
    const seen = new Set<string>()
    const steps = cache.steps(upsert('one', {}, 8))
    const watched = new Proxy(upsert('one').raw as object, {
      get: (target, name) => {
        seen.add(journal.read().join())
        return Reflect.get(target, name)
      },
    })
    cache.accept([{ ...upsert('x'), raw: watched }])
    assert.deepEqual([...seen], [NAME])
    for (let step = steps.next(); step.done !== true; step = steps.next()) assert.deepEqual(journal.read(), [])
    one.compiling()
    one.working()
    assert.deepEqual(journal.read(), [NAME])
    one.published()
    one.working()
    assert.deepEqual(journal.read(), [])
  })
  it('keeps its served version while a costly successor is processed, until that is compiled', () => {
    const { one, kept } = quarantine()
    const cache = new ResourceCache(validator, SETTINGS, [], undefined, one)
    cache.accept([upsert('one')])
    assert.equal(kept.size, 0)
    cache.accept([upsert('two', {}, 16)])
    assert.equal(bodyOf(kept.get(NAME)), 'one')
    // One more edit before anything was compiled: what is served is still the first.
    cache.accept([upsert('three', {}, 16)])
    assert.equal(bodyOf(kept.get(NAME)), 'one')
    one.compiling()
    cache.accept([upsert('four', {}, 16)])
    one.published()
    assert.equal(bodyOf(kept.get(NAME)), 'three', 'what is served now, while the newest is still to be compiled')
    one.compiling()
    one.published()
    assert.equal(kept.size, 0)
  })
})
