/**
 * What a new kind takes: a row and an extractor. Two kinds that nobody has are added to the table, and from it follow
 * what the source watches, what is waited for, whom a change concerns, what is delivered, and the rights of a role.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { KINDS, type Kind, type KindRow, type KindTable } from '../../../src/api/kinds.ts'
import type { KubeObject } from '../../../src/api/object.ts'
import { member } from '../../../src/api/raw-object.ts'
import { rightsOf } from '../../../src/api/rights.ts'
import { ServedReferences } from '../../../src/control/resources/served-references.ts'
import { SourceInterest } from '../../../src/control/resources/source-interest.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import type { SourceEvent } from '../../../src/source/source.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { eventually, open, type World } from '../../source/kubernetes/world.ts'
import { route } from '../../suite/source.ts'

const made: Pick<KindRow, 'group' | 'version' | 'namespaced' | 'schema'> = {
  group: 'test.example',
  version: 'v1',
  namespaced: true,
  schema: { properties: {} },
}

/** A Machine refers to a Gadget by name, and to a Secret of one type. */
const machine: KindRow = {
  ...made,
  plural: 'machines',
  read: 'always',
  status: true,
  references: {
    names: ['Gadget', 'Secret'],
    *find(object, namespace) {
      const spec = member(object, 'spec')
      const gadget = member(spec, 'gadget')
      const secret = member(spec, 'secret')
      if (typeof gadget === 'string')
        yield { path: ['spec', 'gadget'], kind: 'Gadget', namespace, name: gadget, purpose: 'Policy' }
      if (typeof secret === 'string')
        yield {
          path: ['spec', 'secret'],
          kind: 'Secret',
          namespace,
          name: secret,
          key: 'password',
          type: 'test.example/password',
          purpose: 'Policy',
        }
    },
  },
}
const gadget: KindRow = { ...made, plural: 'gadgets', read: 'referenced' }

const table: KindTable = { ...KINDS, Machine: machine, Gadget: gadget }

const metadata = (name: string) => ({ name, namespace: 'shop' })
const machineOf = (name: string, spec: object) => ({
  apiVersion: 'test.example/v1',
  kind: 'Machine',
  metadata: metadata(name),
  spec,
})
const gadgetOf = (name: string) => ({ apiVersion: 'test.example/v1', kind: 'Gadget', metadata: metadata(name) })
const secretOf = (name: string, password: string, type = 'test.example/password') => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: metadata(name),
  type,
  data: { password: Buffer.from(password).toString('base64') },
})

describe('a kind that was made up', () => {
  let world: World
  const store = new ContentStore()
  const references = new ServedReferences({
    table,
    send: (message) => {
      if (message.type === 'contents') store.apply(message.contents)
    },
  })
  let interest: SourceInterest
  const impacts = new Map<string, unknown>()

  const take = (events: readonly SourceEvent[]): void => {
    interest.addEvents(events)
    for (const event of events) {
      const object = event.type === 'upsert' ? (event.raw as KubeObject) : undefined
      impacts.set(`${event.kind} ${event.key}`, references.put(event.kind, event.key, object))
    }
    interest.update()
  }

  before(async () => {
    world = await open({ table })
    const { api, source, heard } = world
    interest = new SourceInterest({
      source,
      graph: references.graph,
      guarded: () => [],
      done: () => {},
      time: systemTimers,
      table,
    })
    for (const one of [route('r'), machineOf('first', { gadget: 'g', secret: 's' }), gadgetOf('g'), gadgetOf('unused')])
      api.put(one)
    api.put(secretOf('s', 'one'))
    api.put(secretOf('unused', 'none'))
    source.start({
      changed: (events) => {
        take(events)
        heard.changed(events)
      },
      synced: () => {
        interest.synced()
        heard.synced()
      },
      problems: (list) => heard.problems(list),
    })
    await heard.untilSynced()
  })
  after(async () => {
    interest.stop()
    await world.close()
  })

  it('is read with its references, and nothing else is', () => {
    const read = [...world.heard.objects.keys()].sort()
    assert.deepEqual(read, ['Gadget shop/g', 'Machine shop/first', 'Route shop/r', 'Secret shop/s'])
  })

  it('is affected by a change of its references, and no other object is', () => {
    assert.equal(impacts.get('Gadget shop/g'), 'rebuild')
    assert.deepEqual([...references.graph.users('Gadget', 'shop/g')], ['Machine shop/first'])
    const unused = gadgetOf('unused') as unknown as KubeObject
    assert.equal(references.put('Gadget' as Kind, 'shop/unused', unused), 'ignore')
  })

  it('waits until its new references were read', async () => {
    assert.equal(interest.busy, false)
    world.api.put(gadgetOf('later'))
    world.api.put(machineOf('second', { gadget: 'later' }))
    await world.heard.until(() => world.heard.objects.has('Machine shop/second'), 'the machine')
    assert.equal(interest.busy, true)
    await eventually(() => !interest.busy, 'the wait is over')
    assert.ok(world.heard.objects.has('Gadget shop/later'))
  })

  it('has a Secret of its type delivered, rotated and withdrawn, and none of another type', async () => {
    const id = 'Secret shop/s password test.example/password'
    const password = () => {
      const bytes = store.get(id)
      return bytes === undefined ? undefined : Buffer.from(bytes).toString()
    }
    await eventually(() => password() === 'one', 'the Secret')
    world.api.put(secretOf('s', 'two'))
    await eventually(() => password() === 'two', 'the rotated Secret')
    assert.equal(impacts.get('Secret shop/s'), 'ignore', 'no table is built')
    world.api.put(secretOf('s', 'three', 'Opaque'))
    await eventually(() => password() === undefined, 'a Secret of another type is none')
    assert.equal(impacts.get('Secret shop/s'), 'rebuild', 'its users are told')
    world.api.put(secretOf('s', 'four'))
    await eventually(() => password() === 'four', 'the Secret again')
    world.api.remove(secretOf('s', 'four'))
    await eventually(() => password() === undefined, 'it is gone')
  })

  it('is in the rights of a role, as far as something refers to it', () => {
    const resources = (of: KindTable | undefined) =>
      rightsOf(of).namespaced.flatMap(({ apiGroup, resources, verbs }) =>
        resources.map((resource) => `${apiGroup} ${resource}: ${verbs.join()}`),
      )
    const more = resources(table).filter((right) => !resources(undefined).includes(right))
    assert.deepEqual(more.sort(), [
      'test.example gadgets: list,watch',
      'test.example machines/status: patch',
      'test.example machines: get,list,watch',
    ])
    assert.ok(resources(undefined).includes(' configmaps: list,watch'))
  })
})
