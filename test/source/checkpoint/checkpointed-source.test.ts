import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Interest, SourceEvent } from '../../../src/source/source.ts'
import { interestIn, type Manifest, route } from '../../suite/source.ts'
import { eventually } from '../kubernetes/world.ts'
import { type LifeOptions, Place } from './world.ts'

const metadata = (name: string, namespace = 'shop') => ({ name, namespace })
const SERVICE: Manifest = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: metadata('v'),
  spec: { ports: [{ port: 80 }] },
}
const SLICE: Manifest = {
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { ...metadata('e'), labels: { 'kubernetes.io/service-name': 'v' } },
  addressType: 'IPv4',
  endpoints: [{ addresses: ['10.0.0.1'] }],
  ports: [{ port: 80 }],
}
const SECRET_TEXT = Buffer.from('the private key').toString('base64')
const SECRET: Manifest = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: metadata('s'),
  type: 'kubernetes.io/tls',
  data: { 'tls.key': SECRET_TEXT },
}
const CONFIG: Manifest = { apiVersion: 'v1', kind: 'ConfigMap', metadata: metadata('c'), data: { k: 'v' } }
const ALL: Interest = interestIn({
  services: ['shop/v'],
  secrets: ['shop/s'],
  configMaps: ['shop/c'],
  namespaces: true,
})

const somewhere = (run: (place: Place) => Promise<void>) => async () => {
  const place = await Place.open()
  try {
    await run(place)
  } finally {
    await place.close()
  }
}

/** One process that reads everything and ends. */
async function lived(place: Place, objects: readonly Manifest[], options: LifeOptions = {}): Promise<void> {
  for (const object of objects) place.api.put(object)
  const life = place.life(options)
  life.source.start(life.heard)
  await life.heard.untilSynced()
  await life.end()
  assert.deepEqual(life.failures, [])
}

/** The API server goes away, and a process begins without it. */
async function alone(place: Place, options: LifeOptions = {}) {
  await place.api.kill()
  const life = place.life(options)
  life.source.start(life.heard)
  return life
}

const ids = (life: { heard: { objects: Map<string, unknown> } }) => [...life.heard.objects.keys()].sort()
const ofType = (events: readonly SourceEvent[], type: SourceEvent['type']) =>
  events.filter((event) => event.type === type).map(({ kind, key }) => `${kind} ${key}`)

describe('a cluster that is remembered', () => {
  it(
    'is served when the API server is away at the start, and it is said since when',
    somewhere(async (place) => {
      await lived(place, [route('a'), route('b')])
      const life = await alone(place)
      await life.heard.untilSynced()
      assert.deepEqual(ids(life), ['Route shop/a', 'Route shop/b'])
      const problem = await life.heard.problem('RememberedState')
      assert.match(
        problem.message,
        /^Serves what was known at \d{4}-.*Z \(\d seconds? ago\), since the API server at http:/,
      )
      assert.equal(problem.severity, 'warning')
      await life.heard.problem('ClusterUnavailable')
      await life.end()
    }),
  )

  it(
    'is brought in line when the API server is back: only what differs is told, and nothing is gone in between',
    somewhere(async (place) => {
      await lived(place, [route('same'), route('changed'), route('gone')])
      const life = await alone(place)
      await life.heard.untilSynced()
      const before = life.heard.events.length
      place.api.put(route('changed', 'otherwise'))
      place.api.remove(route('gone'))
      place.api.put(route('new'))
      await place.api.restart()
      await life.heard.untilWell()
      const events = life.heard.events.slice(before)
      assert.deepEqual(ofType(events, 'delete'), ['Route shop/gone'])
      assert.deepEqual(ofType(events, 'upsert').sort(), ['Route shop/changed', 'Route shop/new'])
      assert.equal(events.at(-1)?.type, 'delete', 'what is gone goes last')
      assert.ok(life.log.some((line) => /has told everything: .* 1 objects were different and 1 are gone$/.test(line)))
      // From now on it is an ordinary source.
      place.api.put(route('same', 'later'))
      await life.heard.until(() => JSON.stringify(life.heard.objects.get('Route shop/same')).includes('later'), 'later')
      await life.end()
      assert.deepEqual(life.failures, [])
    }),
  )

  it(
    'is not looked at when the API server is there',
    somewhere(async (place) => {
      await lived(place, [route('a'), route('gone')])
      place.api.remove(route('gone'))
      const life = place.life()
      life.source.start(life.heard)
      await life.heard.untilSynced()
      assert.deepEqual(ofType(life.heard.events, 'upsert'), ['Route shop/a'])
      assert.deepEqual(ofType(life.heard.events, 'delete'), [])
      assert.deepEqual(life.heard.problemList, [])
      await life.end()
    }),
  )

  it(
    'is served, too, when the API server answers and does not get anywhere, without what it has told by then',
    somewhere(async (place) => {
      await lived(place, [route('old'), route('gone')], { kubernetes: { ingresses: true } })
      place.api.remove(route('gone'))
      place.api.put(route('old', 'newer'))
      let held = true
      const waiting: (() => void)[] = []
      place.api.intercept = ({ collection }, response) => {
        if (collection !== 'backends' || !held) return false
        waiting.push(() => response.destroy())
        return true
      }
      const life = place.life({ kubernetes: { ingresses: true }, times: { patience: 300 } })
      life.source.start(life.heard)
      await life.heard.untilSynced()
      // It had spoken of `old`, and not of `gone`: that may be there for all it has said.
      assert.deepEqual(ids(life), ['Route shop/gone', 'Route shop/old'])
      assert.match(JSON.stringify(life.heard.objects.get('Route shop/old')), /newer/)
      held = false
      for (const end of waiting) end()
      await life.heard.untilGone('Route shop/gone')
      await life.end()
    }),
  )

  it(
    'tells of Services, Secrets and ConfigMaps only what is referred to, and takes back what is not any more',
    somewhere(async (place) => {
      const objects = [
        route('a'),
        SERVICE,
        SLICE,
        SECRET,
        CONFIG,
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
      ]
      const memory = { keyFile: place.keyFile }
      await lived(place, objects, { interest: ALL, memory })
      const life = await alone(place, { memory })
      await life.heard.untilSynced()
      assert.deepEqual(ids(life), ['Route shop/a'])
      life.source.interest?.(interestIn({ services: ['shop/v'], secrets: ['shop/s'] }))
      await life.heard.untilHas('EndpointSlice shop/e')
      await life.heard.untilHas('Secret shop/s')
      assert.deepEqual(ids(life), ['EndpointSlice shop/e', 'Route shop/a', 'Secret shop/s', 'Service shop/v'])
      life.source.interest?.(interestIn({ configMaps: ['shop/c'], namespaces: true }))
      await life.heard.untilHas('Namespace /shop')
      await life.heard.untilGone('EndpointSlice shop/e')
      assert.deepEqual(ids(life), ['ConfigMap shop/c', 'Namespace /shop', 'Route shop/a'])
      // Back and forth while it is away, and it is still the API server that has the last word.
      life.source.interest?.(ALL)
      await life.heard.untilHas('Secret shop/s')
      place.api.remove(SECRET)
      await place.api.restart()
      await life.heard.untilGone('Secret shop/s')
      await life.heard.untilWell()
      assert.deepEqual(ids(life), [
        'ConfigMap shop/c',
        'EndpointSlice shop/e',
        'Namespace /shop',
        'Route shop/a',
        'Service shop/v',
      ])
      await life.end()
      assert.deepEqual(life.failures, [])
    }),
  )

  it(
    'waits with synced for what is named while it is told',
    somewhere(async (place) => {
      await lived(place, [route('a'), SERVICE, SLICE], { interest: ALL })
      await place.api.kill()
      const life = place.life()
      let atSync: string[] = []
      life.source.start({
        changed: (events) => {
          life.heard.changed(events)
          if (events.some(({ kind }) => kind === 'Route')) life.source.interest?.(ALL)
        },
        problems: (list) => life.heard.problems(list),
        synced: () => {
          atSync = ids(life)
          life.heard.synced()
        },
      })
      await life.heard.untilSynced()
      assert.deepEqual(atSync, ['EndpointSlice shop/e', 'Route shop/a', 'Service shop/v'])
      await life.end()
    }),
  )

  it(
    'deletes an object first when another one has taken its name, so that nothing of it serves on',
    somewhere(async (place) => {
      await lived(place, [route('a')])
      const life = await alone(place)
      await life.heard.untilSynced()
      place.api.remove(route('a'))
      place.api.put(route('a', 'another'))
      await place.api.restart()
      await life.heard.untilWell()
      assert.deepEqual(
        life.heard.events.map(({ type }) => type),
        ['upsert', 'delete', 'upsert'],
      )
      await life.end()
    }),
  )

  it(
    'outlives an outage over several starts, and is not written over by what one of them knows half of',
    somewhere(async (place) => {
      await lived(place, [route('a'), route('b')])
      const bytes = await place.bytes()
      await place.api.kill()
      for (let i = 0; i < 3; i++) {
        const life = place.life()
        life.source.start(life.heard)
        await life.heard.untilSynced()
        assert.equal(life.heard.objects.size, 2)
        await life.end()
      }
      assert.ok(bytes.equals(await place.bytes()))
    }),
  )

  it(
    'keeps for a while what an API server refuses that has just started, and not for ever',
    somewhere(async (place) => {
      const backend = { apiVersion: 'headgate.dev/v1alpha1', kind: 'Backend', metadata: metadata('b'), spec: {} }
      const gone = { ...backend, metadata: metadata('gone') }
      await lived(place, [route('a'), backend, gone, SECRET], { interest: ALL, memory: { keyFile: place.keyFile } })
      const life = await alone(place, { interest: ALL, memory: { keyFile: place.keyFile }, times: { grace: 3_000 } })
      await life.heard.untilSynced()
      place.api.remove(gone)
      place.api.denied = ({ collection }) => collection === 'backends' || collection === 'secrets'
      await place.api.restart()
      await life.heard.problem('Forbidden')
      await life.heard.until(
        () => !life.heard.problemList.some(({ reason }) => reason === 'RememberedState'),
        'settled',
      )
      assert.deepEqual(ids(life), ['Backend shop/b', 'Backend shop/gone', 'Route shop/a', 'Secret shop/s'])
      // The roles are known by now, of one kind.
      place.api.denied = ({ collection }) => collection === 'secrets'
      await life.heard.untilGone('Backend shop/gone')
      assert.ok(life.heard.objects.has('Backend shop/b'))
      // The other one is refused for good.
      await life.heard.untilGone('Secret shop/s')
      assert.deepEqual(ids(life), ['Backend shop/b', 'Route shop/a'])
      await life.end()
    }),
  )

  it(
    'is silent from the moment it is stopped, whatever was still to be told',
    somewhere(async (place) => {
      await lived(
        place,
        Array.from({ length: 300 }, (_, i) => route(`r${i}`)),
      )
      const life = await alone(place)
      await life.heard.until(() => life.heard.calls.length > 0, 'the first call')
      const stopping = life.source.stop()
      const calls = life.heard.calls.length
      await stopping
      await delay(20)
      assert.equal(life.heard.calls.length, calls)
      await life.end()
    }),
  )
})

describe('what is remembered and does not belong here', () => {
  const refusedIn = async (place: Place, options: LifeOptions, why: RegExp) => {
    const life = await alone(place, options)
    await eventually(() => life.log.some((line) => why.test(line)), String(why))
    await delay(30)
    assert.equal(life.heard.syncedAfter, null)
    assert.deepEqual(ids(life), [])
    await place.api.restart()
    await life.heard.untilSynced()
    await life.end()
  }

  it(
    'is of another cluster',
    somewhere(async (place) => {
      await lived(place, [route('a')])
      const identity = async () => ({ server: place.api.url, ca: 'another' })
      await refusedIn(place, { memory: { identity } }, /objects is not used \(it is of another cluster/)
    }),
  )

  it(
    'is of namespaces that are not watched any more',
    somewhere(async (place) => {
      await lived(place, [route('a'), route('b', 'x', 'other')])
      const life = await alone(place, { memory: { namespaces: ['shop'] } })
      await life.heard.untilSynced()
      assert.deepEqual(ids(life), ['Route shop/a'])
      await life.end()
    }),
  )

  it(
    'lacks a namespace that is watched now: its hosts would be answered with a wrong 404',
    somewhere(async (place) => {
      await lived(place, [route('a'), route('b', 'x', 'other')], { memory: { namespaces: ['shop'] } })
      const memory = { namespaces: ['other', 'shop'] }
      await refusedIn(place, { memory }, /it knows nothing about namespace other/)
      await lived(place, [], { memory: { namespaces: ['shop'] } })
      await refusedIn(place, {}, /knows nothing about namespaces other than/)
    }),
  )

  it(
    'is damaged, or nothing of ours',
    somewhere(async (place) => {
      for (const text of ['', 'nonsense', '{"format":"headgate-state","version":1}\n']) {
        await mkdir(join(place.state, 'cluster'), { recursive: true })
        await writeFile(place.file, text)
        await refusedIn(place, {}, /objects is not used \(it/)
        await rm(place.file, { force: true })
      }
      await lived(place, [route('a')])
      const bytes = await place.bytes()
      await writeFile(place.file, bytes.subarray(0, bytes.length - 1))
      await refusedIn(place, {}, /damaged, or not complete/)
    }),
  )

  it(
    'is not served where newer tables are served already',
    somewhere(async (place) => {
      await lived(place, [route('a')])
      const life = await alone(place, { memory: { serve: false } })
      assert.equal(await life.memory.hopeful(), false)
      await life.heard.problem('ClusterUnavailable')
      await delay(50)
      assert.equal(life.heard.syncedAfter, null)
      await life.end()
    }),
  )
})

describe('Secrets that are remembered', () => {
  const clear = (bytes: Buffer) => bytes.includes(SECRET_TEXT) || bytes.includes('the private key')

  it(
    'are not without a key: what needs them does without',
    somewhere(async (place) => {
      await lived(place, [route('a'), SECRET, SERVICE], { interest: ALL })
      const bytes = await place.bytes()
      assert.ok(bytes.includes('"Route"') && bytes.includes('"Service"'))
      assert.ok(!clear(bytes) && !bytes.includes('"Secret"'))
      const life = await alone(place, { interest: ALL })
      await life.heard.untilSynced()
      assert.deepEqual(ids(life), ['Route shop/a', 'Service shop/v'])
      await life.end()
    }),
  )

  it(
    'are only in a sealed file, through a change of the key',
    somewhere(async (place) => {
      const memory = { keyFile: place.keyFile }
      await lived(place, [route('a'), SECRET], { interest: ALL, memory })
      const bytes = await place.bytes()
      assert.ok(!clear(bytes) && !bytes.includes('Route') && !bytes.includes('shop/'))
      const old = await readFile(place.keyFile, 'utf8')
      await writeFile(place.keyFile, `# new\n${randomBytes(32).toString('base64')}\n${old}\n`)
      const life = await alone(place, { interest: ALL, memory })
      await life.heard.untilSynced()
      assert.deepEqual(ids(life), ['Route shop/a', 'Secret shop/s'])
      await place.api.restart()
      await life.heard.untilWell()
      assert.deepEqual(life.failures, [])
      await life.end()
      // Sealed by the new one now: the old one can go.
      const text = await readFile(place.keyFile, 'utf8')
      await writeFile(place.keyFile, text.split('\n')[1]!)
      const next = await alone(place, { interest: ALL, memory })
      await next.heard.untilHas('Secret shop/s')
      await next.end()
    }),
  )

  it(
    'are neither read nor written with a key that cannot be used, and it is said',
    somewhere(async (place) => {
      const memory = { keyFile: place.keyFile }
      await lived(place, [route('a'), SECRET], { interest: ALL, memory })
      const bytes = await place.bytes()
      await writeFile(place.keyFile, 'short')
      const life = await alone(place, { interest: ALL, memory })
      await eventually(() => life.log.some((line) => /is not used \(line 1 of the file of keys/.test(line)), 'said')
      await place.api.restart()
      await life.heard.untilSynced()
      await eventually(() => life.log.some((line) => /cannot keep .*line 1 of the file of keys/.test(line)), 'said')
      assert.ok(bytes.equals(await place.bytes()))
      await life.end()
    }),
  )
})
