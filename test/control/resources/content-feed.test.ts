import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { KubeObject } from '../../../src/api/object.ts'
import type { Reference } from '../../../src/api/references.ts'
import { ReferenceGraph } from '../../../src/compile/reference-graph.ts'
import { ContentBudget, MAX_OBJECT_BYTES } from '../../../src/control/resources/content-budget.ts'
import { ContentFeed } from '../../../src/control/resources/content-feed.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import type { ToWorker } from '../../../src/thread/messages.ts'

const wish = (kind: 'ConfigMap' | 'Secret', name: string, key?: string, type?: string, namespace = 'a'): Reference => ({
  path: [],
  kind,
  namespace,
  name,
  ...(key === undefined ? {} : { key }),
  ...(type === undefined ? {} : { type }),
  purpose: 'Policy',
})

const object = (kind: string, name: string, fields: object, namespace = 'a'): KubeObject =>
  ({ apiVersion: 'v1', kind, metadata: { name, namespace }, data: {}, binaryData: {}, ...fields }) as KubeObject
const base64 = (text: string): string => Buffer.from(text).toString('base64')

/** A feed, and a worker that has what it sends. */
function feeding(configuration = Number.POSITIVE_INFINITY) {
  const graph = new ReferenceGraph()
  const store = new ContentStore()
  const sent: ToWorker[] = []
  const feed = new ContentFeed({
    graph,
    budget: new ContentBudget(configuration),
    wall: Date.now,
    send(message) {
      sent.push(message)
      if (message.type === 'contents') store.apply(message.contents)
      else if (message.type === 'content-ids') store.retain(message.ids)
    },
  })
  const get = (id: string): string | undefined => {
    const bytes = store.get(id)
    return bytes === undefined ? undefined : Buffer.from(bytes).toString()
  }
  return { graph, feed, sent, get }
}

describe('the payloads of ConfigMaps and Secrets', () => {
  it('are delivered when they are referenced, text and binary, and no other key of the object is', async () => {
    const { graph, feed, sent, get } = feeding()
    const pages = object('ConfigMap', 'pages', { data: { a: 'ä', other: 'x' }, binaryData: { b: base64('\u0000b') } })
    feed.update('ConfigMap', 'a/pages', pages)
    await Promise.resolve()
    assert.deepEqual(sent, [])
    graph.set('Route a/r', [wish('ConfigMap', 'pages', 'a'), wish('ConfigMap', 'pages', 'b')])
    const face = feed.update('ConfigMap', 'a/pages', pages)
    assert.deepEqual([...face!.keys], ['a', 'other', 'b'])
    await Promise.resolve()
    assert.equal(get('ConfigMap a/pages a'), 'ä')
    assert.equal(get('ConfigMap a/pages b'), '\u0000b')
    assert.equal(get('ConfigMap a/pages other'), undefined)
    assert.equal(sent.length, 1, 'those of one object together')
    feed.update('ConfigMap', 'a/pages', object('ConfigMap', 'pages', pages))
    await Promise.resolve()
    assert.equal(sent.length, 1, 'nothing is different')
  })

  it('rotate, and go with their object or key at once', async () => {
    const { graph, feed, sent, get } = feeding()
    graph.set('Route a/r', [wish('ConfigMap', 'c', 'k')])
    feed.update('ConfigMap', 'a/c', object('ConfigMap', 'c', { data: { k: 'one' } }))
    feed.flush()
    feed.update('ConfigMap', 'a/c', object('ConfigMap', 'c', { data: { k: 'two' } }))
    feed.flush()
    assert.equal(get('ConfigMap a/c k'), 'two')
    // Another one of its name: gone and there in one turn.
    feed.update('ConfigMap', 'a/c', undefined)
    feed.update('ConfigMap', 'a/c', object('ConfigMap', 'c', { data: { k: 'three' } }))
    const before = sent.length
    await Promise.resolve()
    assert.equal(sent.length, before + 1)
    assert.equal(get('ConfigMap a/c k'), 'three')
    assert.deepEqual(
      [...feed.update('ConfigMap', 'a/c', object('ConfigMap', 'c', { data: { other: '' } }))!.keys],
      ['other'],
    )
    feed.flush()
    assert.equal(get('ConfigMap a/c k'), undefined)
  })

  it('of a Secret are delivered under the type that is asked for, and not as another', () => {
    const { graph, feed, get } = feeding()
    graph.set('Route a/r', [
      wish('Secret', 's', 'k', 'headgate.dev/jwks'),
      wish('Secret', 's', 'k', 'headgate.dev/htpasswd'),
    ])
    feed.update('Secret', 'a/s', object('Secret', 's', { type: 'headgate.dev/jwks', data: { k: base64('keys') } }))
    feed.flush()
    assert.equal(get('Secret a/s k headgate.dev/jwks'), 'keys')
    assert.equal(get('Secret a/s k headgate.dev/htpasswd'), undefined)
    assert.equal(get('Secret a/s k'), undefined)
    feed.update('Secret', 'a/s', object('Secret', 's', { type: 'Opaque', data: { k: base64('keys') } }))
    feed.flush()
    assert.equal(get('Secret a/s k headgate.dev/jwks'), undefined)
  })

  it('of a reference to the whole object are all of its keys', () => {
    const { graph, feed, get } = feeding()
    graph.set('Route a/r', [wish('Secret', 's', undefined, 'headgate.dev/made-up')])
    const pair = { one: base64('c'), two: base64('k') }
    feed.update('Secret', 'a/s', object('Secret', 's', { type: 'headgate.dev/made-up', data: pair }))
    feed.flush()
    assert.deepEqual(
      ['one', 'two'].map((key) => get(`Secret a/s ${key} headgate.dev/made-up`)),
      ['c', 'k'],
    )
  })

  it('stay until no serving table refers to them', () => {
    const { graph, feed, get } = feeding()
    const c = object('ConfigMap', 'c', { data: { k: 'v' } })
    graph.set('Route a/r', [wish('ConfigMap', 'c', 'k')])
    feed.update('ConfigMap', 'a/c', c)
    feed.compiling()
    feed.published(1)
    graph.set('Route a/r', [])
    feed.update('ConfigMap', 'a/c', c)
    // The source tells no more of what nothing refers to.
    feed.update('ConfigMap', 'a/c', undefined)
    feed.served(1, 0)
    feed.flush()
    assert.equal(get('ConfigMap a/c k'), 'v', 'what serves refers to it')
    feed.compiling()
    feed.published(2)
    feed.served(1, 100_000)
    feed.served(2, 200_000)
    feed.served(2, 259_999)
    feed.flush()
    assert.equal(get('ConfigMap a/c k'), 'v', 'requests that began with older tables may need it')
    feed.served(2, 260_000)
    feed.flush()
    assert.equal(get('ConfigMap a/c k'), undefined)
  })

  it('that are wanted again before that stay', () => {
    const { graph, feed, get } = feeding()
    const c = object('ConfigMap', 'c', { data: { k: 'v' } })
    for (const references of [[wish('ConfigMap', 'c', 'k')], [], [wish('ConfigMap', 'c', 'k')]]) {
      graph.set('Route a/r', references)
      feed.update('ConfigMap', 'a/c', c)
      feed.compiling()
    }
    feed.published(1)
    feed.served(1, 0)
    feed.served(1, 100_000)
    feed.flush()
    assert.equal(get('ConfigMap a/c k'), 'v')
  })

  it('of an earlier control thread that are none any more are withdrawn', () => {
    const { graph, feed, sent } = feeding()
    graph.set('Route a/r', [wish('ConfigMap', 'c', 'k')])
    feed.update('ConfigMap', 'a/c', object('ConfigMap', 'c', { data: { k: 'v' } }))
    feed.adopt()
    assert.deepEqual(
      sent.map(({ type }) => type),
      ['contents', 'content-ids'],
    )
    assert.deepEqual(sent[1], { type: 'content-ids', ids: ['ConfigMap a/c k'] })
  })

  it('of one object are bounded, and its users report it', () => {
    const { graph, feed, get } = feeding()
    graph.set('Route a/r', [wish('ConfigMap', 'c', 'k'), wish('ConfigMap', 'c', 'l')])
    const data = { k: 'x'.repeat(MAX_OBJECT_BYTES), l: 'y' }
    const face = feed.update('ConfigMap', 'a/c', object('ConfigMap', 'c', { data }))
    feed.flush()
    assert.deepEqual([...face!.refused.keys()], ['l'])
    assert.equal(get('ConfigMap a/c k')?.length, MAX_OBJECT_BYTES)
    assert.equal(get('ConfigMap a/c l'), undefined)
  })

  it('of a namespace leave room for others, and are delivered once there is room', () => {
    const { graph, feed, get } = feeding(0)
    const size = 400_000
    const put = (namespace: string, name: string, data: object | undefined) => {
      graph.set(`Route ${namespace}/${name}`, [wish('ConfigMap', name, 'k', undefined, namespace)])
      const one = data === undefined ? undefined : object('ConfigMap', name, { data }, namespace)
      const face = feed.update('ConfigMap', `${namespace}/${name}`, one)
      feed.flush()
      return face?.refused.size === 0
    }
    const greedy = Array.from({ length: 8 }, (_, i) => put('greedy', `c${i}`, { k: 'x'.repeat(size) }))
    assert.deepEqual(greedy, [true, true, false, false, false, false, false, false])
    assert.equal(put('calm', 'c', { k: 'x'.repeat(size) }), true)
    for (let i = 0; i < 4; i++) assert.equal(put(`small${i}`, 'c', { k: 'x'.repeat(50_000) }), true)
    assert.equal(get('ConfigMap greedy/c2 k'), undefined)
    assert.deepEqual([...feed.pendingObjects()].slice(0, 2), ['ConfigMap greedy/c2', 'ConfigMap greedy/c3'])
    put('greedy', 'c0', undefined)
    assert.equal(put('greedy', 'c2', { k: 'x'.repeat(size) }), true)
  })
})
