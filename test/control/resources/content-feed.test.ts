import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createSecureContext } from 'node:tls'
import fc from 'fast-check'
import type { KubeObject } from '../../../src/api/object.ts'
import type { Reference } from '../../../src/api/references.ts'
import { ReferenceGraph } from '../../../src/compile/reference-graph.ts'
import { ContentBudget, MAX_OBJECT_BYTES } from '../../../src/control/resources/content-budget.ts'
import { ContentFeed } from '../../../src/control/resources/content-feed.ts'
import { divideMemory } from '../../../src/lib/memory-budget.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import type { ToWorker } from '../../../src/thread/messages.ts'
import { TestAuthority } from '../../lib/certificates.ts'

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
const authority = new TestAuthority()
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
      wish('Secret', 's', 'k', 'headgate.dev/made-up'),
      wish('Secret', 's', 'k', 'headgate.dev/made-up-too'),
    ])
    feed.update('Secret', 'a/s', object('Secret', 's', { type: 'headgate.dev/made-up', data: { k: base64('keys') } }))
    feed.flush()
    assert.equal(get('Secret a/s k headgate.dev/made-up'), 'keys')
    assert.equal(get('Secret a/s k headgate.dev/made-up-too'), undefined)
    assert.equal(get('Secret a/s k'), undefined)
    feed.update('Secret', 'a/s', object('Secret', 's', { type: 'Opaque', data: { k: base64('keys') } }))
    feed.flush()
    assert.equal(get('Secret a/s k headgate.dev/made-up'), undefined)
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

  it('of a certificate are the last pair that fits, until it is corrected or gone', () => {
    const { graph, feed, sent, get } = feeding()
    graph.set('Route a/r', [wish('Secret', 's', undefined, 'kubernetes.io/tls')])
    const [old, next] = [authority.server('a.example'), authority.server('a.example')]
    const put = (cert: string, key: string | undefined, more: object = {}) => {
      const data = { 'tls.crt': base64(cert), ...(key === undefined ? {} : { 'tls.key': base64(key) }) }
      const face = feed.update('Secret', 'a/s', object('Secret', 's', { type: 'kubernetes.io/tls', data, ...more }))
      feed.flush()
      return face?.secret
    }
    const served = () => ['tls.crt', 'tls.key'].map((key) => get(`Secret a/s ${key} kubernetes.io/tls`))
    assert.equal(put(old.cert, old.key)?.fault, undefined)
    assert.deepEqual(served(), [old.cert, old.key])
    const before = sent.length
    for (const [cert, key] of [
      [next.cert, old.key],
      [next.cert, undefined],
      [next.cert.slice(0, 99), next.key],
      ['', ''],
    ] as const) {
      const face = put(cert, key)
      assert.ok(face?.fault !== undefined && face.validity === 'Valid', 'told, and the one before goes on')
      assert.deepEqual(served(), [old.cert, old.key])
    }
    assert.equal(sent.length, before, 'and nobody hears of the broken ones')
    assert.equal(put(next.cert, next.key)?.fault, undefined)
    assert.deepEqual(served(), [next.cert, next.key])
    assert.deepEqual(
      sent.slice(before).map((message) => message.type === 'contents' && message.contents.length),
      [2],
    )
    put('', '', { type: 'Opaque' })
    assert.deepEqual(served(), [undefined, undefined], 'another type is another Secret')
    put(next.cert, next.key)
    put('', '', { metadata: { name: 's', namespace: 'a', uid: 'another' } })
    assert.deepEqual(served(), [undefined, undefined], 'and so is another of its name')
    put(next.cert, next.key)
    feed.update('Secret', 'a/s', undefined)
    feed.flush()
    assert.deepEqual(served(), [undefined, undefined])
  })

  it('of a certificate are sent again only as far as they differ', () => {
    const { graph, feed, sent } = feeding()
    graph.set('Route a/r', [wish('Secret', 's', undefined, 'kubernetes.io/tls')])
    const one = authority.server('a.example')
    const put = (more: Record<string, string>) => {
      const data = { 'tls.crt': base64(one.cert), 'tls.key': base64(one.key), ...more }
      feed.update('Secret', 'a/s', object('Secret', 's', { type: 'kubernetes.io/tls', data }))
      feed.flush()
    }
    put({})
    put({ 'ca.crt': base64('other') })
    assert.equal(sent.length, 1)
    put({ 'tls.ocsp-staple': base64('response') })
    const last = sent.at(-1)!
    assert.deepEqual(last.type === 'contents' && last.contents.map(({ id }) => id), [
      'Secret a/s tls.ocsp-staple kubernetes.io/tls',
    ])
  })

  it('that say who may connect are withdrawn with the first version that is broken', () => {
    const { graph, feed, get } = feeding()
    graph.set('Route a/r', [wish('Secret', 'ca', undefined, 'headgate.dev/ca')])
    graph.set('Route a/q', [wish('Secret', 'crl', undefined, 'headgate.dev/crl')])
    const put = (name: string, key: string, text: string) => {
      feed.update(
        'Secret',
        `a/${name}`,
        object('Secret', name, { type: `headgate.dev/${name}`, data: { [key]: base64(text) } }),
      )
      feed.flush()
      return get(`Secret a/${name} ${key} headgate.dev/${name}`)
    }
    assert.equal(put('ca', 'ca.crt', authority.ca), authority.ca)
    assert.equal(put('ca', 'ca.crt', authority.ca.slice(0, 99)), undefined)
    const list = authority.revoke([])
    assert.equal(put('crl', 'ca.crl', list), list)
    assert.equal(put('crl', 'ca.crl', list.slice(0, 99)), undefined)
  })

  it('have no list of revoked certificates that OpenSSL does not take, whatever bytes are changed', () => {
    const { graph, feed, get } = feeding()
    graph.set('Route a/q', [wish('Secret', 'crl', undefined, 'headgate.dev/crl')])
    const lines = authority
      .revoke([authority.client('a')])
      .trim()
      .split('\n')
    const der = Buffer.from(lines.slice(1, -1).join(''), 'base64')
    fc.assert(
      fc.property(fc.nat({ max: der.length - 1 }), fc.nat({ max: 255 }), (at, byte) => {
        const bytes = Buffer.from(der)
        bytes[at] = byte
        const pem = `-----BEGIN X509 CRL-----\n${bytes.toString('base64')}\n-----END X509 CRL-----\n`
        feed.update(
          'Secret',
          'a/crl',
          object('Secret', 'crl', { type: 'headgate.dev/crl', data: { 'ca.crl': base64(pem) } }),
        )
        feed.flush()
        const crl = get('Secret a/crl ca.crl headgate.dev/crl')
        if (crl !== undefined) createSecureContext({ crl })
      }),
    )
  })

  it('of a shared Secret reach each namespace by itself, and are lost by each at once', () => {
    const { graph, feed, get } = feeding()
    const one = authority.server('a.example')
    const data = { 'tls.crt': base64(one.cert), 'tls.key': base64(one.key) }
    const put = (sharedWith: string | undefined) => {
      const annotations = sharedWith === undefined ? {} : { 'headgate.dev/shared-with': sharedWith }
      const metadata = { name: 's', namespace: 'certs', annotations }
      const face = feed.update(
        'Secret',
        'certs/s',
        object('Secret', 's', { type: 'kubernetes.io/tls', data, metadata }),
      )
      feed.flush()
      return [...(face?.sharedWith ?? [])]
    }
    const wanted = wish('Secret', 's', undefined, 'kubernetes.io/tls', 'certs')
    graph.set('Route certs/r', [wanted])
    graph.set('Route a/r', [{ ...wanted, sharedWith: 'a' }])
    graph.set('Route b/r', [{ ...wanted, sharedWith: 'b' }])
    const served = () =>
      ['', ' a', ' b'].map((user) => get(`Secret certs/s tls.key kubernetes.io/tls${user}`) === one.key)
    assert.deepEqual(put(undefined), [])
    assert.deepEqual(served(), [true, false, false])
    for (const nobody of ['', ' ', ',', 'aa', '*', 'a b', 'A', 'x,ab']) {
      put(nobody)
      assert.deepEqual(served(), [true, false, false], nobody)
    }
    assert.deepEqual(put(' b ,a'), ['b', 'a'])
    assert.deepEqual(served(), [true, true, true])
    put('b')
    assert.deepEqual(served(), [true, false, true])
  })

  it('of a shared Secret take the room of one, whoever has them', () => {
    const { graph, feed } = feeding()
    const budget = new ContentBudget(Number.POSITIVE_INFINITY)
    const counted = new ContentFeed({ graph, budget, wall: Date.now, send: () => {} })
    const one = authority.server('a.example')
    const data = { 'tls.crt': base64(one.cert), 'tls.key': base64(one.key) }
    const wanted = wish('Secret', 's', undefined, 'kubernetes.io/tls', 'certs')
    const users = Array.from({ length: 5 }, (_, i) => `n${i}`)
    for (const user of users) graph.set(`Route ${user}/r`, [{ ...wanted, sharedWith: user }])
    const put = (to: readonly string[]) => {
      const metadata = { name: 's', namespace: 'certs', annotations: { 'headgate.dev/shared-with': to.join() } }
      counted.update('Secret', 'certs/s', object('Secret', 's', { type: 'kubernetes.io/tls', data, metadata }))
      return budget.used
    }
    const size = one.cert.length + one.key.length
    assert.deepEqual([put(users), put(users.slice(2)), put(users.slice(0, 1)), put([])], [size, size, size, 0])
    feed.flush()
  })

  it('of 5,000 certificates have room in one namespace, and leave some for the others', () => {
    const { configuration } = divideMemory(1024 * 2 ** 20, 2)
    const budget = new ContentBudget(configuration)
    const size = 4_096
    for (let i = 0; i < 5_000; i++) {
      assert.equal(budget.refusal('large', size), undefined, `certificate ${i}`)
      budget.take('large', size)
    }
    while (budget.refusal('large', size) === undefined) budget.take('large', size)
    for (const namespace of ['a', 'b', 'c'])
      for (let i = 0; i < 500; i++) {
        assert.equal(budget.refusal(namespace, size), undefined, `${namespace} ${i}`)
        budget.take(namespace, size)
      }
  })

  it('of a certificate change their state with the time alone, which is told once', () => {
    const DAY = 86_400_000
    let now = Date.now()
    const graph = new ReferenceGraph()
    const feed = new ContentFeed({ graph, budget: new ContentBudget(1e9), wall: () => now, send: () => {} })
    const one = authority.issue({ notAfter: new Date(now + 30 * DAY), notBefore: new Date(now + DAY) })
    const data = { 'tls.crt': base64(one.cert), 'tls.key': base64(one.key) }
    const secret = object('Secret', 's', { type: 'kubernetes.io/tls', data })
    const validity = () => feed.update('Secret', 'a/s', secret)?.secret?.validity
    assert.equal(validity(), 'NotYetValid')
    for (const [days, expected] of [
      [2, 'Valid'],
      [17, 'ExpiresSoon'],
      [31, 'Expired'],
    ] as const) {
      now = Date.now() + days * DAY
      assert.deepEqual([...feed.turnedSecrets()], ['Secret a/s'])
      assert.deepEqual([...feed.turnedSecrets()], [])
      assert.equal(validity(), expected)
    }
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
