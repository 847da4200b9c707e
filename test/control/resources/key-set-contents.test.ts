/** Key sets as contents: who uses them, whose they must be, and what an earlier control thread had sent. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nodeId } from '../../../src/compile/reference-graph.ts'
import type { KeySetVersion } from '../../../src/control/resources/key-set-demand.ts'
import { ServedReferences } from '../../../src/control/resources/served-references.ts'
import { keySetContent } from '../../../src/policy/auth/key-set.ts'
import type { ToWorker } from '../../../src/thread/messages.ts'
import { settle } from '../../lib/virtual-time.ts'

const SET = 'https://id.example/jwks'
const METADATA = 'https://id.example/.well-known/openid-configuration'

const routeOf = (jwksURI: string, issuer = 'https://id.example') => ({
  apiVersion: 'headgate.dev/v1alpha1',
  kind: 'Route',
  metadata: { name: 'r', namespace: 'shop' },
  spec: { rules: [{ name: 'a', policies: { auth: { jwt: { issuer, audiences: ['a'], keys: { jwksURI } } } } }] },
})

const version = (more: Partial<KeySetVersion> = {}): KeySetVersion => ({
  bytes: new Uint8Array([1]),
  void: false,
  owner: 'shop',
  ...more,
})

function world(mayFetch: (namespace: string, url: string) => boolean = () => true) {
  const wanted = new Map<string, readonly string[]>()
  const messages: ToWorker[] = []
  /** As a worker has it. */
  const contents = new Map<string, Uint8Array>()
  const references = new ServedReferences({
    send(message) {
      messages.push(message)
      if (message.type !== 'contents') return
      for (const { id, bytes } of message.contents) bytes === null ? contents.delete(id) : contents.set(id, bytes)
    },
    wantKeySet: (url, namespaces) => wanted.set(url, namespaces),
    mayFetch,
  })
  const put = (namespace: string, url: string | undefined, issuer?: string): void => {
    const object = url === undefined ? undefined : routeOf(url, issuer)
    if (object !== undefined) object.metadata.namespace = namespace
    references.put('Route', `${namespace}/r`, object as never)
  }
  return { wanted, messages, contents, references, put }
}

describe('a key set', () => {
  it('is wanted once for all who name it in any spelling, until nobody does', async () => {
    const { wanted, contents, references, put } = world()
    put('shop', SET)
    put('blog', 'HTTPS://ID.example:443/jwks')
    assert.deepEqual([...wanted], [[SET, ['blog', 'shop']]])
    references.useKeySet(SET, version())
    await settle()
    assert.equal(contents.size, 2)
    assert.equal(
      contents.get(keySetContent(SET, undefined, 'shop')),
      contents.get(keySetContent(SET, undefined, 'blog')),
    )
    put('shop', undefined)
    assert.deepEqual(wanted.get(SET), ['blog'])
    put('blog', undefined)
    assert.deepEqual(wanted.get(SET), [])
  })

  it('by metadata is for the issuer that these name, and for no other rule', async () => {
    const { contents, references, put } = world()
    put('shop', METADATA, 'https://id.example')
    put('blog', METADATA, 'https://other.example')
    references.useKeySet(METADATA, version({ issuer: 'https://id.example' }))
    await settle()
    assert.deepEqual([...contents.keys()], [keySetContent(METADATA, 'https://id.example', 'shop')])
    references.useKeySet(METADATA, version({ issuer: 'https://evil.example' }))
    await settle()
    assert.equal(contents.size, 0)
  })

  it('is nothing to a namespace that may not have it fetched, though another one has it', async () => {
    const granted = new Set(['shop'])
    const { wanted, contents, references, put } = world((namespace) => granted.has(namespace))
    put('shop', SET)
    put('blog', SET)
    assert.deepEqual(wanted.get(SET), ['shop'])
    references.useKeySet(SET, version())
    await settle()
    assert.deepEqual([...contents.keys()], [keySetContent(SET, undefined, 'shop')])
    granted.delete('shop')
    granted.add('blog')
    references.recheckKeySets()
    await settle()
    assert.deepEqual([wanted.get(SET), [...contents.keys()]], [['blog'], [keySetContent(SET, undefined, 'blog')]])
  })

  it('that an earlier control thread had sent goes on until it is known to be void', async () => {
    const { messages, references, put } = world()
    put('shop', SET)
    const id = keySetContent(SET, undefined, 'shop')
    references.contents.adopt()
    assert.deepEqual(messages.at(-1), { type: 'content-ids', ids: [id] })
    references.useKeySet(SET, { fault: 'is down', void: false, owner: 'shop' })
    await settle()
    assert.equal(messages.length, 1)
    references.useKeySet(SET, { fault: 'shows a private key', void: true, owner: 'shop' })
    await settle()
    assert.deepEqual(messages.at(-1), { type: 'contents', contents: [{ id, bytes: null }] })
  })

  it('is a reason for a build where what is wrong with it changes, and not where its keys do', () => {
    const { references, put } = world()
    put('shop', SET)
    assert.equal(references.useKeySet(SET, version()), 'rebuild')
    assert.equal(references.useKeySet(SET, version({ bytes: new Uint8Array([2]) })), 'ignore')
    assert.equal(references.useKeySet(SET, version({ fault: 'is down' })), 'rebuild')
    assert.deepEqual(references.payloads().get(nodeId('KeySet', `/${SET}`))?.keySet, { fault: 'is down' })
    assert.equal(references.useKeySet('https://nobody.example/', version()), 'ignore')
  })
})
