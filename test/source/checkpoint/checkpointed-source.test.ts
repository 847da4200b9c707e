import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Interest, SourceEvent } from '../../../src/source/source.ts'
import { interestIn, type Manifest, route } from '../../suite/source.ts'
import { eventually } from '../kubernetes/world.ts'
import { CheckpointWorld, type RunOptions } from './world.ts'

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

const inWorld = (run: (world: CheckpointWorld) => Promise<void>) => async () => {
  const world = await CheckpointWorld.open()
  try {
    await run(world)
  } finally {
    await world.close()
  }
}

/** Runs one process that reads everything and ends. */
async function runOnce(world: CheckpointWorld, objects: readonly Manifest[], options: RunOptions = {}): Promise<void> {
  for (const object of objects) world.api.put(object)
  const run = world.run(options)
  run.source.start(run.recorder)
  await run.recorder.untilSynced()
  await run.end()
  assert.deepEqual(run.failures, [])
}

/** Stops the API server and starts a process without it. */
async function runWithoutApi(world: CheckpointWorld, options: RunOptions = {}) {
  await world.api.kill()
  const run = world.run(options)
  run.source.start(run.recorder)
  return run
}

const ids = (run: { recorder: { objects: Map<string, unknown> } }) => [...run.recorder.objects.keys()].sort()
const ofType = (events: readonly SourceEvent[], type: SourceEvent['type']) =>
  events.filter((event) => event.type === type).map(({ kind, key }) => `${kind} ${key}`)

describe('a cluster with a checkpoint', () => {
  it(
    'is served when the API server is unreachable at the start, and the problem contains its time',
    inWorld(async (world) => {
      await runOnce(world, [route('a'), route('b')])
      const run = await runWithoutApi(world)
      await run.recorder.untilSynced()
      assert.deepEqual(ids(run), ['Route shop/a', 'Route shop/b'])
      const problem = await run.recorder.problem('RememberedState')
      assert.match(
        problem.message,
        /^Serving the checkpoint of \d{4}-.*Z \(\d seconds? ago\), because the API server at http:/,
      )
      assert.equal(problem.severity, 'warning')
      await run.recorder.problem('ClusterUnavailable')
      await run.end()
    }),
  )

  it(
    'is reconciled when the API server returns: only differences are emitted, and nothing is deleted in between',
    inWorld(async (world) => {
      await runOnce(world, [route('same'), route('changed'), route('gone')])
      const run = await runWithoutApi(world)
      await run.recorder.untilSynced()
      const before = run.recorder.events.length
      world.api.put(route('changed', 'otherwise'))
      world.api.remove(route('gone'))
      world.api.put(route('new'))
      await world.api.restart()
      await run.recorder.untilWell()
      const events = run.recorder.events.slice(before)
      assert.deepEqual(ofType(events, 'delete'), ['Route shop/gone'])
      assert.deepEqual(ofType(events, 'upsert').sort(), ['Route shop/changed', 'Route shop/new'])
      assert.equal(events.at(-1)?.type, 'delete', 'deletions come last')
      assert.ok(
        run.log.some((line) => /has been read: 1 objects of the checkpoint have changed and 1 are gone$/.test(line)),
      )
      // From now on it behaves like the inner source.
      world.api.put(route('same', 'later'))
      await run.recorder.until(
        () => JSON.stringify(run.recorder.objects.get('Route shop/same')).includes('later'),
        'later',
      )
      await run.end()
      assert.deepEqual(run.failures, [])
    }),
  )

  it(
    'does not load the checkpoint when the API server is reachable',
    inWorld(async (world) => {
      await runOnce(world, [route('a'), route('gone')])
      world.api.remove(route('gone'))
      const run = world.run()
      run.source.start(run.recorder)
      await run.recorder.untilSynced()
      assert.deepEqual(ofType(run.recorder.events, 'upsert'), ['Route shop/a'])
      assert.deepEqual(ofType(run.recorder.events, 'delete'), [])
      assert.deepEqual(run.recorder.problemList, [])
      await run.end()
    }),
  )

  it(
    'is served when the API server responds without progress, except the objects it has reported',
    inWorld(async (world) => {
      await runOnce(world, [route('old'), route('gone')], { kubernetes: { ingresses: true } })
      world.api.remove(route('gone'))
      world.api.put(route('old', 'newer'))
      let held = true
      const waiting: (() => void)[] = []
      world.api.intercept = ({ collection }, response) => {
        if (collection !== 'backends' || !held) return false
        waiting.push(() => response.destroy())
        return true
      }
      const run = world.run({ kubernetes: { ingresses: true }, times: { syncTimeout: 300 } })
      run.source.start(run.recorder)
      await run.recorder.untilSynced()
      // The API server has reported `old`, but not whether `gone` exists.
      assert.deepEqual(ids(run), ['Route shop/gone', 'Route shop/old'])
      assert.match(JSON.stringify(run.recorder.objects.get('Route shop/old')), /newer/)
      held = false
      for (const end of waiting) end()
      await run.recorder.untilGone('Route shop/gone')
      await run.end()
    }),
  )

  it(
    'emits Services, Secrets and ConfigMaps only while they are referred to',
    inWorld(async (world) => {
      const objects = [
        route('a'),
        SERVICE,
        SLICE,
        SECRET,
        CONFIG,
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
      ]
      const checkpoint = { keyFile: world.keyFile }
      await runOnce(world, objects, { references: ALL, checkpoint })
      const run = await runWithoutApi(world, { checkpoint })
      await run.recorder.untilSynced()
      assert.deepEqual(ids(run), ['Route shop/a'])
      run.source.interest?.(interestIn({ services: ['shop/v'], secrets: ['shop/s'] }))
      await run.recorder.untilHas('EndpointSlice shop/e')
      await run.recorder.untilHas('Secret shop/s')
      assert.deepEqual(ids(run), ['EndpointSlice shop/e', 'Route shop/a', 'Secret shop/s', 'Service shop/v'])
      run.source.interest?.(interestIn({ configMaps: ['shop/c'], namespaces: true }))
      await run.recorder.untilHas('Namespace /shop')
      await run.recorder.untilGone('EndpointSlice shop/e')
      assert.deepEqual(ids(run), ['ConfigMap shop/c', 'Namespace /shop', 'Route shop/a'])
      // References change while the API server is unreachable; its state prevails when it returns.
      run.source.interest?.(ALL)
      await run.recorder.untilHas('Secret shop/s')
      world.api.remove(SECRET)
      await world.api.restart()
      await run.recorder.untilGone('Secret shop/s')
      await run.recorder.untilWell()
      assert.deepEqual(ids(run), [
        'ConfigMap shop/c',
        'EndpointSlice shop/e',
        'Namespace /shop',
        'Route shop/a',
        'Service shop/v',
      ])
      await run.end()
      assert.deepEqual(run.failures, [])
    }),
  )

  it(
    'delays `synced` until references set during the emission are resolved',
    inWorld(async (world) => {
      await runOnce(world, [route('a'), SERVICE, SLICE], { references: ALL })
      await world.api.kill()
      const run = world.run()
      let atSync: string[] = []
      run.source.start({
        changed: (events) => {
          run.recorder.changed(events)
          if (events.some(({ kind }) => kind === 'Route')) run.source.interest?.(ALL)
        },
        problems: (list) => run.recorder.problems(list),
        synced: () => {
          atSync = ids(run)
          run.recorder.synced()
        },
      })
      await run.recorder.untilSynced()
      assert.deepEqual(atSync, ['EndpointSlice shop/e', 'Route shop/a', 'Service shop/v'])
      await run.end()
    }),
  )

  it(
    'deletes an object before another one of the same name is emitted',
    inWorld(async (world) => {
      await runOnce(world, [route('a')])
      const run = await runWithoutApi(world)
      await run.recorder.untilSynced()
      world.api.remove(route('a'))
      world.api.put(route('a', 'another'))
      await world.api.restart()
      await run.recorder.untilWell()
      assert.deepEqual(
        run.recorder.events.map(({ type }) => type),
        ['upsert', 'delete', 'upsert'],
      )
      await run.end()
    }),
  )

  it(
    'survives several starts during an outage, and is not overwritten by an incomplete state',
    inWorld(async (world) => {
      await runOnce(world, [route('a'), route('b')])
      const bytes = await world.bytes()
      await world.api.kill()
      for (let i = 0; i < 3; i++) {
        const run = world.run()
        run.source.start(run.recorder)
        await run.recorder.untilSynced()
        assert.equal(run.recorder.objects.size, 2)
        await run.end()
      }
      assert.ok(bytes.equals(await world.bytes()))
    }),
  )

  it(
    'serves forbidden objects for a grace period after the start of the API server',
    inWorld(async (world) => {
      const backend = { apiVersion: 'headgate.dev/v1alpha1', kind: 'Backend', metadata: metadata('b'), spec: {} }
      const gone = { ...backend, metadata: metadata('gone') }
      await runOnce(world, [route('a'), backend, gone, SECRET], {
        references: ALL,
        checkpoint: { keyFile: world.keyFile },
      })
      const run = await runWithoutApi(world, {
        references: ALL,
        checkpoint: { keyFile: world.keyFile },
        times: { forbiddenGrace: 3_000 },
      })
      await run.recorder.untilSynced()
      world.api.remove(gone)
      world.api.denied = ({ collection }) => collection === 'backends' || collection === 'secrets'
      await world.api.restart()
      await run.recorder.problem('Forbidden')
      await run.recorder.until(
        () => !run.recorder.problemList.some(({ reason }) => reason === 'RememberedState'),
        'settled',
      )
      assert.deepEqual(ids(run), ['Backend shop/b', 'Backend shop/gone', 'Route shop/a', 'Secret shop/s'])
      // The API server has loaded the role of one kind.
      world.api.denied = ({ collection }) => collection === 'secrets'
      await run.recorder.untilGone('Backend shop/gone')
      assert.ok(run.recorder.objects.has('Backend shop/b'))
      // The other kind stays forbidden.
      await run.recorder.untilGone('Secret shop/s')
      assert.deepEqual(ids(run), ['Backend shop/b', 'Route shop/a'])
      await run.end()
    }),
  )

  it(
    'emits nothing after it is stopped',
    inWorld(async (world) => {
      await runOnce(
        world,
        Array.from({ length: 300 }, (_, i) => route(`r${i}`)),
      )
      const run = await runWithoutApi(world)
      await run.recorder.until(() => run.recorder.calls.length > 0, 'the first call')
      const stopping = run.source.stop()
      const calls = run.recorder.calls.length
      await stopping
      await delay(20)
      assert.equal(run.recorder.calls.length, calls)
      await run.end()
    }),
  )
})

describe('a checkpoint that does not match', () => {
  const expectRejected = async (world: CheckpointWorld, options: RunOptions, why: RegExp) => {
    const run = await runWithoutApi(world, options)
    await eventually(() => run.log.some((line) => why.test(line)), String(why))
    await delay(30)
    assert.equal(run.recorder.syncedAfter, null)
    assert.deepEqual(ids(run), [])
    await world.api.restart()
    await run.recorder.untilSynced()
    await run.end()
  }

  it(
    'is rejected when it belongs to another cluster',
    inWorld(async (world) => {
      await runOnce(world, [route('a')])
      const identity = async () => ({ server: world.api.url, ca: 'another' })
      await expectRejected(world, { checkpoint: { identity } }, /objects is not used \(it belongs to another cluster/)
    }),
  )

  it(
    'is served without the objects of namespaces that are not configured',
    inWorld(async (world) => {
      await runOnce(world, [route('a'), route('b', 'x', 'other')])
      const run = await runWithoutApi(world, { checkpoint: { namespaces: ['shop'] } })
      await run.recorder.untilSynced()
      assert.deepEqual(ids(run), ['Route shop/a'])
      await run.end()
    }),
  )

  it(
    'is rejected without a configured namespace, whose hosts would get 404',
    inWorld(async (world) => {
      await runOnce(world, [route('a'), route('b', 'x', 'other')], { checkpoint: { namespaces: ['shop'] } })
      const checkpoint = { namespaces: ['other', 'shop'] }
      await expectRejected(world, { checkpoint }, /it does not contain namespace other/)
      await runOnce(world, [], { checkpoint: { namespaces: ['shop'] } })
      await expectRejected(world, {}, /does not contain namespaces other than/)
    }),
  )

  it(
    'is rejected when it is damaged or not a checkpoint',
    inWorld(async (world) => {
      for (const text of ['', 'nonsense', '{"format":"headgate-state","version":1}\n']) {
        await mkdir(join(world.state, 'cluster'), { recursive: true })
        await writeFile(world.file, text)
        await expectRejected(world, {}, /objects is not used \(it/)
        await rm(world.file, { force: true })
      }
      await runOnce(world, [route('a')])
      const bytes = await world.bytes()
      await writeFile(world.file, bytes.subarray(0, bytes.length - 1))
      await expectRejected(world, {}, /damaged, or incomplete/)
    }),
  )

  it(
    'is not served when newer tables are served already',
    inWorld(async (world) => {
      await runOnce(world, [route('a')])
      const run = await runWithoutApi(world, { checkpoint: { serve: false } })
      assert.equal(await run.checkpoint.available(), false)
      await run.recorder.problem('ClusterUnavailable')
      await delay(50)
      assert.equal(run.recorder.syncedAfter, null)
      await run.end()
    }),
  )
})

describe('Secrets of a checkpoint', () => {
  const clear = (bytes: Buffer) => bytes.includes(SECRET_TEXT) || bytes.includes('the private key')

  it(
    'are not stored without a key',
    inWorld(async (world) => {
      await runOnce(world, [route('a'), SECRET, SERVICE], { references: ALL })
      const bytes = await world.bytes()
      assert.ok(bytes.includes('"Route"') && bytes.includes('"Service"'))
      assert.ok(!clear(bytes) && !bytes.includes('"Secret"'))
      const run = await runWithoutApi(world, { references: ALL })
      await run.recorder.untilSynced()
      assert.deepEqual(ids(run), ['Route shop/a', 'Service shop/v'])
      await run.end()
    }),
  )

  it(
    'are stored encrypted, also across a key rotation',
    inWorld(async (world) => {
      const checkpoint = { keyFile: world.keyFile }
      await runOnce(world, [route('a'), SECRET], { references: ALL, checkpoint })
      const bytes = await world.bytes()
      assert.ok(!clear(bytes) && !bytes.includes('Route') && !bytes.includes('shop/'))
      const old = await readFile(world.keyFile, 'utf8')
      await writeFile(world.keyFile, `# new\n${randomBytes(32).toString('base64')}\n${old}\n`)
      const run = await runWithoutApi(world, { references: ALL, checkpoint })
      await run.recorder.untilSynced()
      assert.deepEqual(ids(run), ['Route shop/a', 'Secret shop/s'])
      await world.api.restart()
      await run.recorder.untilWell()
      assert.deepEqual(run.failures, [])
      await run.end()
      // The file is encrypted with the new key: the old one can be removed.
      const text = await readFile(world.keyFile, 'utf8')
      await writeFile(world.keyFile, text.split('\n')[1]!)
      const next = await runWithoutApi(world, { references: ALL, checkpoint })
      await next.recorder.untilHas('Secret shop/s')
      await next.end()
    }),
  )

  it(
    'are neither read nor written with an invalid key, which is logged',
    inWorld(async (world) => {
      const checkpoint = { keyFile: world.keyFile }
      await runOnce(world, [route('a'), SECRET], { references: ALL, checkpoint })
      const bytes = await world.bytes()
      await writeFile(world.keyFile, 'short')
      const run = await runWithoutApi(world, { references: ALL, checkpoint })
      await eventually(() => run.log.some((line) => /is not used \(line 1 of the key file/.test(line)), 'said')
      await world.api.restart()
      await run.recorder.untilSynced()
      await eventually(() => run.log.some((line) => /cannot write .*line 1 of the key file/.test(line)), 'said')
      assert.ok(bytes.equals(await world.bytes()))
      await run.end()
    }),
  )
})
