/** What every source promises its handler, whatever it reads from. Run on each implementation. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Kind } from '../../src/api/kinds.ts'
import type { Interest, Source, SourceEvent, SourceHandler, SourceProblem } from '../../src/source/source.ts'

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> }
  readonly [field: string]: unknown
}

/** A place that a source reads and a test writes. */
export interface World {
  readonly source: Source
  /** Creates or replaces an object. */
  put(object: Manifest): Promise<void>
  /** Creates or replaces many as fast as it can. */
  putAll(objects: readonly Manifest[]): Promise<void>
  remove(object: Manifest): Promise<void>
  /** After the source has been stopped. */
  close(): Promise<void>
}

/** What something refers to, by kind. */
export function interestIn(names: {
  readonly services?: Iterable<string>
  readonly secrets?: Iterable<string>
  readonly configMaps?: Iterable<string>
  /** Whether labels of Namespaces matter. */
  readonly namespaces?: boolean
}): Interest {
  return new Map([
    ['Service', new Set(names.services)],
    ['Secret', new Set(names.secrets)],
    ['ConfigMap', new Set(names.configMaps)],
    ['Namespace', new Set(names.namespaces === true ? ['/*'] : [])],
  ])
}

/** Everything a handler was told, and a way to wait for more. */
export class Recorder implements SourceHandler {
  readonly calls: SourceEvent[][] = []
  problemList: readonly SourceProblem[] = []
  problemCalls = 0
  syncedAfter: number | null = null
  /** What the receiver knows by now: `Kind key` → raw. */
  readonly objects = new Map<string, unknown>()
  #waiting: (() => void)[] = []

  changed(events: SourceEvent[]): void {
    assert.ok(events.length > 0, 'a call without events')
    this.calls.push(events)
    for (const event of events) {
      const id = `${event.kind} ${event.key}`
      if (event.type === 'upsert') this.objects.set(id, event.raw)
      else assert.ok(this.objects.delete(id), `${id} is deleted but was not there`)
    }
    this.#wake()
  }

  synced(): void {
    assert.equal(this.syncedAfter, null, 'synced is said once')
    this.syncedAfter = this.calls.length
    this.#wake()
  }

  problems(list: SourceProblem[]): void {
    this.problemList = list
    this.problemCalls++
    this.#wake()
  }

  /** Resolves when the condition holds, looked at after every call. */
  async until(condition: () => boolean, what: string, milliseconds = 10_000): Promise<void> {
    const end = performance.now() + milliseconds
    while (!condition()) {
      const left = end - performance.now()
      if (left <= 0) assert.fail(`waited in vain for: ${what}\n${this.#state()}`)
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
        timer = setTimeout(resolve, left)
      })
      clearTimeout(timer)
    }
  }

  untilSynced(): Promise<void> {
    return this.until(() => this.syncedAfter !== null, 'synced')
  }

  untilHas(id: string): Promise<void> {
    return this.until(() => this.objects.has(id), id)
  }

  untilGone(id: string): Promise<void> {
    return this.until(() => !this.objects.has(id), `no more ${id}`)
  }

  /** The first problem with this reason. */
  async problem(reason: SourceProblem['reason']): Promise<SourceProblem> {
    const find = () => this.problemList.find((problem) => problem.reason === reason)
    await this.until(() => find() !== undefined, `problem ${reason}`)
    return find()!
  }

  untilWell(): Promise<void> {
    return this.until(() => this.problemList.length === 0, 'no problem left')
  }

  get events(): SourceEvent[] {
    return this.calls.flat()
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  #state(): string {
    return JSON.stringify({ objects: [...this.objects.keys()], problems: this.problemList }, null, 1)
  }
}

export function route(name: string, body = 'hello', namespace = 'shop'): Manifest {
  const rules = [{ name: 'all', respond: { statusCode: 200, body } }]
  return { apiVersion: 'headgate.dev/v1alpha1', kind: 'Route', metadata: { name, namespace }, spec: { rules } }
}

const ONE_OF_EACH: readonly (Manifest & { kind: Kind })[] = [
  { ...route('r'), kind: 'Route' },
  {
    apiVersion: 'headgate.dev/v1alpha1',
    kind: 'Backend',
    metadata: { name: 'b', namespace: 'shop' },
    spec: { endpoints: [{ address: '127.0.0.1', port: 80 }] },
  },
  { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'shop' }, type: 'Opaque', data: { a: 'Yg==' } },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'v', namespace: 'shop' },
    spec: { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] },
  },
  {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: 'e', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'v' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: ['10.0.0.1'] }],
    ports: [{ name: 'http', port: 80 }],
  },
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'c', namespace: 'shop' }, data: { k: 'v' } },
  { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
]

/** @param open a world with nothing in it and a source that has not been started */
export function sourceSuite(name: string, open: () => Promise<World>): void {
  const inWorld = (run: (world: World, heard: Recorder) => Promise<void>) => async () => {
    const world = await open()
    const heard = new Recorder()
    try {
      await run(world, heard)
    } finally {
      await world.source.stop()
      await world.close()
    }
  }

  describe(`${name}, as a source`, () => {
    it(
      'syncs with nothing where nothing is',
      inWorld(async ({ source }, heard) => {
        source.start(heard)
        assert.equal(heard.syncedAfter, null, 'nothing is said before start returns')
        await heard.untilSynced()
        assert.deepEqual(heard.calls, [])
        assert.deepEqual(heard.problemList, [])
      }),
    )

    it(
      'tells everything there is before it says that it is synced',
      inWorld(async ({ source, putAll }, heard) => {
        await putAll(Array.from({ length: 30 }, (_, i) => route(`r${i}`)))
        source.start(heard)
        await heard.untilSynced()
        assert.equal(heard.objects.size, 30)
      }),
    )

    it(
      'reads every kind, under the key namespace/name, a Namespace under /name',
      inWorld(async ({ source, putAll }, heard) => {
        await putAll(ONE_OF_EACH)
        source.start(heard)
        await heard.untilSynced()
        const expected = ONE_OF_EACH.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`)
        assert.deepEqual([...heard.objects.keys()].sort(), expected.sort())
        for (const raw of heard.objects.values()) {
          const { metadata, kind } = raw as Manifest
          assert.equal(metadata.namespace, kind === 'Namespace' ? '' : 'shop')
        }
      }),
    )

    it(
      'tells what appears, changes and vanishes',
      inWorld(async ({ source, put, remove }, heard) => {
        source.start(heard)
        await heard.untilSynced()
        await put(route('a'))
        await heard.untilHas('Route shop/a')
        await put(route('a', 'changed'))
        await heard.until(() => JSON.stringify(heard.objects.get('Route shop/a')).includes('changed'), 'the new text')
        await remove(route('a'))
        await heard.untilGone('Route shop/a')
        assert.deepEqual(
          heard.events.map((event) => event.type),
          ['upsert', 'upsert', 'delete'],
        )
      }),
    )

    it(
      'tells nothing about an object that is written again as it was',
      inWorld(async ({ source, put }, heard) => {
        await put(route('same'))
        source.start(heard)
        await heard.untilSynced()
        await put(route('same'))
        await put(route('other'))
        await heard.untilHas('Route shop/other')
        assert.equal(heard.events.filter((event) => event.key === 'shop/same').length, 1)
      }),
    )

    it(
      'tells at most one event an object in a call, and each of a burst in the end',
      inWorld(async ({ source, putAll }, heard) => {
        source.start(heard)
        await heard.untilSynced()
        await putAll(Array.from({ length: 200 }, (_, i) => route(`r${i % 50}`, `version ${i}`)))
        const last = (i: number) => JSON.stringify(heard.objects.get(`Route shop/r${i}`) ?? '')
        await heard.until(
          () => Array.from({ length: 50 }, (_, i) => last(i)).every((text, i) => text.includes(`version ${150 + i}`)),
          'the last version of each',
        )
        for (const call of heard.calls)
          assert.equal(new Set(call.map((event) => `${event.kind} ${event.key}`)).size, call.length)
      }),
    )

    it(
      'is silent from the moment it is stopped',
      inWorld(async ({ source, put }, heard) => {
        source.start(heard)
        await heard.untilSynced()
        await put(route('a'))
        const stopping = source.stop()
        const calls = heard.calls.length
        await put(route('b'))
        await stopping
        assert.equal(heard.calls.length, calls)
      }),
    )
  })
}
