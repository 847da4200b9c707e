/** Key sets of providers: fetched once, ahead of their end, on unknown keys, and kept while a provider is down. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, test } from 'node:test'
import { freshness } from '../../../src/control/key-sets/freshness.ts'
import { COOL_DOWN, type KeySetAnswer, KeySets, MAX_SETS_OF_NAMESPACE } from '../../../src/control/key-sets/key-sets.ts'
import type { KeySetVersion } from '../../../src/control/resources/resources.ts'
import { keySetDigest } from '../../../src/policy/auth/key-set.ts'
import { ProviderError, type ProviderRequest, type ProviderResponse } from '../../../src/policy/provider-client.ts'
import { settle, VirtualTime } from '../../lib/virtual-time.ts'

const URL_OF = 'https://id.example/jwks.json'
const SECOND = 1_000
const MINUTE = 60_000
const HOUR = 60 * MINUTE

const PAIRS = ['a', 'b', 'c'].map((kid) => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return {
    secret: { ...privateKey.export({ format: 'jwk' }), kid },
    jwk: { ...publicKey.export({ format: 'jwk' }), kid },
  }
})
const [A, B, C] = PAIRS.map(({ jwk }) => jwk)

type Answer = Partial<ProviderResponse> | ProviderError | object[] | string

/** Providers of which a test says what they answer, and when. */
class World {
  readonly time = new VirtualTime()
  readonly versions = new Map<string, KeySetVersion>()
  readonly told: string[] = []
  readonly calls: ProviderRequest[] = []
  readonly answers = new Map<string, Answer>()
  /** Answers wait for {@link pass}. */
  hold = false
  readonly #held: (() => void)[] = []
  readonly sets = new KeySets({
    client: { request: (request) => this.#request(request) },
    time: this.time.keeper(),
    random: () => 1,
    changed: (url, version) => {
      this.versions.set(url, version)
      this.told.push(url)
    },
  })

  constructor() {
    this.sets.start()
  }

  async #request(request: ProviderRequest): Promise<ProviderResponse> {
    this.calls.push(request)
    const answer = this.answers.get(request.url) ?? { status: 404 }
    if (this.hold) await new Promise<void>((resolve) => this.#held.push(resolve))
    if (answer instanceof ProviderError) throw answer
    const body = Array.isArray(answer)
      ? JSON.stringify({ keys: answer })
      : typeof answer === 'string'
        ? answer
        : undefined
    if (body !== undefined) return { status: 200, headers: {}, body: Buffer.from(body) }
    return { status: 200, headers: {}, body: Buffer.alloc(0), ...(answer as Partial<ProviderResponse>) }
  }

  async release(): Promise<void> {
    for (const resume of this.#held.splice(0)) resume()
    await settle()
  }

  async want(url = URL_OF, namespaces: readonly string[] = ['shop']): Promise<void> {
    this.sets.want(url, namespaces)
    await settle()
  }

  digest(): string {
    return keySetDigest(this.versions.get(URL_OF)?.bytes)
  }

  kids(url = URL_OF): string[] | undefined {
    const { bytes } = this.versions.get(url) ?? {}
    if (bytes === undefined) return undefined
    return (JSON.parse(Buffer.from(bytes).toString()) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid).sort()
  }

  fault(url = URL_OF): string | undefined {
    return this.versions.get(url)?.fault
  }

  async ask(url = URL_OF): Promise<KeySetAnswer | undefined> {
    let answer: KeySetAnswer | undefined
    this.sets.ask(url, keySetDigest(this.versions.get(url)?.bytes), (given) => {
      answer = given
    })
    await settle()
    return answer
  }
}

const DOWN = new ProviderError('connect', 'it refuses the connection')

describe('a key set', () => {
  test('is fetched before anybody asks, once for all namespaces, and again ahead of its end', async () => {
    const world = new World()
    world.answers.set(URL_OF, [A!])
    await world.want(URL_OF, ['shop'])
    await world.want(URL_OF, ['shop', 'blog'])
    assert.deepEqual(world.kids(), ['a'])
    assert.equal(world.calls.length, 1)
    // Ten minutes where nothing is said, of which the last fifth is for the next fetch.
    await world.time.pass(8 * MINUTE - 1)
    assert.equal(world.calls.length, 1)
    const { bytes } = world.versions.get(URL_OF)!
    await world.time.pass(1)
    assert.equal(world.calls.length, 2)
    assert.equal(world.versions.get(URL_OF)!.bytes, bytes)
    assert.deepEqual(world.told, [URL_OF])
  })

  test('is the same where its keys come in another order, with other members beside them', async () => {
    const world = new World()
    world.answers.set(URL_OF, [A!, B!])
    await world.want()
    world.answers.set(URL_OF, [{ ...B!, use: 'sig', x5t: 'x' }, A!])
    await world.time.pass(8 * MINUTE)
    assert.equal(world.calls.length, 2)
    assert.deepEqual(world.told, [URL_OF])
  })

  test('that nobody wants any more is not fetched, and what was under way is dropped', async () => {
    const world = new World()
    world.hold = true
    world.answers.set(URL_OF, [A!])
    await world.want()
    await world.want(URL_OF, [])
    await world.time.pass(10 * SECOND)
    await world.release()
    await world.time.pass(2 * HOUR)
    assert.equal(world.calls.length, 1)
    assert.equal(world.kids(), undefined)
  })

  test('stays for seconds while what uses it is renamed, and so do those who wait for its keys', async () => {
    const world = new World()
    world.answers.set(URL_OF, [A!])
    await world.want()
    world.hold = true
    world.answers.set(URL_OF, [A!, B!])
    const said: KeySetAnswer[] = []
    world.sets.ask(URL_OF, world.digest(), (answer) => said.push(answer))
    await world.want(URL_OF, [])
    // Whoever has it wanted has forgotten all about it.
    world.versions.clear()
    await world.time.pass(9 * SECOND)
    await world.want()
    assert.deepEqual(world.kids(), ['a'])
    await world.time.pass(9 * SECOND)
    await world.release()
    assert.deepEqual([world.kids(), said.map(({ current }) => current)], [['a', 'b'], [true]])
    assert.equal(world.calls.length, 2)
  })

  test('goes on for a day while its provider is down, and is told only then and before, when that lasts', async () => {
    const world = new World()
    world.answers.set(URL_OF, [A!])
    await world.want()
    world.answers.set(URL_OF, DOWN)
    await world.time.pass(8 * MINUTE)
    assert.equal(world.fault(), undefined)
    await world.time.pass(MINUTE)
    assert.deepEqual([world.kids(), world.fault()], [['a'], 'it refuses the connection'])
    await world.time.pass(23 * HOUR)
    assert.deepEqual(world.kids(), ['a'])
    await world.time.pass(HOUR)
    assert.equal(world.kids(), undefined)
    // At most once a minute, and at least.
    const calls = world.calls.length
    await world.time.pass(HOUR)
    assert.ok(world.calls.length - calls >= 60 && world.calls.length - calls <= 80)
    world.answers.set(URL_OF, [B!])
    await world.time.pass(MINUTE)
    assert.deepEqual([world.kids(), world.fault()], [['b'], undefined])
  })

  for (const [name, answer] of [
    ['HTML', '<html>busy</html>'],
    ['a list', '[]'],
    ['nothing', ''],
    ['members that are there twice', '{"keys":[],"keys":[]}'],
    ['10,000 keys', Array.from({ length: 10_000 }, (_, i) => ({ ...A!, kid: `k${i}` }))],
    ['status 500', { status: 500 }],
    ['status 204', { status: 204 }],
    ['bytes that are no UTF-8', { body: Buffer.from([0x7b, 0xff, 0x7d]) }],
    ['more than 256 KiB', new ProviderError('too-large', 'its answer is larger than 262144 bytes')],
  ] as readonly [string, Answer][])
    test(`is told where the answer is ${name}, and one that was good before goes on`, async () => {
      const world = new World()
      world.answers.set(URL_OF, answer)
      await world.want()
      assert.equal(world.kids(), undefined)
      assert.ok(world.fault() !== undefined)
      world.answers.set(URL_OF, [A!])
      await world.time.pass(MINUTE)
      assert.deepEqual([world.kids(), world.fault()], [['a'], undefined])
      world.answers.set(URL_OF, answer)
      await world.time.pass(10 * MINUTE)
      assert.deepEqual(world.kids(), ['a'])
    })

  for (const [name, answer] of [
    ['private keys', [{ ...PAIRS[0]!.secret }]],
    ['a shared key', [A!, { kty: 'oct', k: 'c2VjcmV0', kid: 's' }]],
    ['no key at all', []],
    ['keys for encryption alone', [{ ...A!, use: 'enc' }]],
  ] as readonly [string, Answer][])
    test(`with ${name} makes void what was good before`, async () => {
      const world = new World()
      world.answers.set(URL_OF, [A!])
      await world.want()
      world.answers.set(URL_OF, answer)
      await world.time.pass(8 * MINUTE)
      assert.equal(world.kids(), undefined)
      assert.ok(world.fault() !== undefined)
      assert.ok(!world.fault()!.includes('c2VjcmV0'))
    })

  test('passes over weak keys and those of unknown kinds, beside others', async () => {
    const world = new World()
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
    const odd = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' })
    world.answers.set(URL_OF, [
      { ...weak, kid: 'weak' },
      { ...odd, kid: 'odd' },
      { kty: 'AKP', kid: 'new' },
      A!,
      { ...B!, kid: 'x'.repeat(513) },
    ])
    await world.want()
    assert.deepEqual(world.kids(), ['a'])
  })
})

describe('a key that is not in the set', () => {
  test('makes it be fetched once, then not before the pause has passed', async () => {
    const world = new World()
    world.answers.set(URL_OF, [A!])
    await world.want()
    assert.deepEqual(await world.ask(), { again: COOL_DOWN, current: true })
    assert.equal(world.calls.length, 2)
    for (let i = 0; i < 100; i++) assert.equal((await world.ask())?.current, true)
    assert.equal(world.calls.length, 2)
    await world.time.pass(COOL_DOWN)
    await world.ask()
    assert.equal(world.calls.length, 3)
  })

  test('no pause follows where another set came: rotations behind each other are all seen', async () => {
    const world = new World()
    world.answers.set(URL_OF, [A!])
    await world.want()
    for (const keys of [[A!, B!], [B!], [B!, C!], [C!]]) {
      world.answers.set(URL_OF, keys)
      assert.deepEqual(await world.ask(), { again: 0, current: true })
      assert.deepEqual(
        world.kids(),
        keys.map(({ kid }) => kid),
      )
    }
  })

  test('all who ask at a time wait for one fetch; who asks while it is under way gets one that began later', async () => {
    const world = new World()
    world.answers.set(URL_OF, [A!])
    await world.want()
    world.hold = true
    const answers: KeySetAnswer[] = []
    world.sets.ask(URL_OF, world.digest(), (answer) => answers.push(answer))
    // Read by the call under way: the set before the rotation.
    await settle()
    world.answers.set(URL_OF, [B!])
    for (let i = 0; i < 1_000; i++) world.sets.ask(URL_OF, world.digest(), (answer) => answers.push(answer))
    await world.release()
    assert.deepEqual([answers.length, world.calls.length], [1, 3])
    await world.release()
    assert.deepEqual([answers.length, world.calls.length, world.kids()], [1_001, 3, ['b']])
    // And no more than two in one pause, whoever asks.
    world.hold = true
    const flood = (): void => world.sets.ask(URL_OF, world.digest(), flood2)
    let asked = 0
    const flood2 = ({ again }: KeySetAnswer): void => {
      if (again === 0 && asked++ < 50) flood()
    }
    flood()
    flood()
    for (let i = 0; i < 20; i++) await world.release()
    assert.equal(world.calls.length, 5)
  })

  test('of a worker whose set is an older one is no reason to fetch, nor for a pause', async () => {
    const world = new World()
    world.answers.set(URL_OF, [A!])
    await world.want()
    const before = world.digest()
    world.answers.set(URL_OF, [B!])
    await world.ask()
    const answers: KeySetAnswer[] = []
    for (const known of [before, '']) world.sets.ask(URL_OF, known, (answer) => answers.push(answer))
    assert.deepEqual(answers, [
      { again: 0, current: true },
      { again: 0, current: true },
    ])
    assert.equal(world.calls.length, 2)
    world.answers.set(URL_OF, [C!])
    assert.deepEqual(await world.ask(), { again: 0, current: true })
    assert.deepEqual(world.kids(), ['c'])
  })

  test('whose provider is down is not known to be none: the answer says so, in pauses', async () => {
    const world = new World()
    world.answers.set(URL_OF, [A!])
    await world.want()
    world.answers.set(URL_OF, DOWN)
    assert.equal((await world.ask())?.current, false)
    assert.equal((await world.ask())?.current, false)
    assert.equal(world.calls.length, 2)
    assert.deepEqual(await world.ask('https://other.example/'), { again: COOL_DOWN, current: false })
  })
})

describe('metadata of a provider', () => {
  const METADATA = 'https://id.example/realms/shop/.well-known/openid-configuration'
  const says = (fields: object): string => JSON.stringify({ issuer: 'https://id.example/realms/shop', ...fields })

  test('leads to the set, and says whose it is', async () => {
    const world = new World()
    world.answers.set(METADATA, says({ jwks_uri: 'https://keys.example/k' }))
    world.answers.set('https://keys.example/k', [A!])
    await world.want(METADATA)
    assert.deepEqual(world.kids(METADATA), ['a'])
    assert.equal(world.versions.get(METADATA)!.issuer, 'https://id.example/realms/shop')
    world.answers.set(METADATA, says({ issuer: 'https://evil.example', jwks_uri: 'https://keys.example/k' }))
    await world.time.pass(8 * MINUTE)
    assert.equal(world.versions.get(METADATA)!.issuer, 'https://evil.example')
  })

  for (const [name, text] of [
    ['from https to http', says({ jwks_uri: 'http://id.example/k' })],
    ['to a file', says({ jwks_uri: 'file:///etc/passwd' })],
    ['nowhere', says({})],
    ['to a list', says({ jwks_uri: ['https://id.example/k'] })],
  ] as const)
    test(`that leads ${name} is a fault`, async () => {
      const world = new World()
      world.answers.set(METADATA, text)
      world.answers.set('http://id.example/k', [A!])
      await world.want(METADATA)
      assert.equal(world.kids(METADATA), undefined)
      assert.ok(world.fault(METADATA) !== undefined)
      assert.ok(world.calls.every(({ url }) => url === METADATA || url.startsWith('file:')))
    })
})

describe('namespaces', () => {
  test('one that names too many keeps nobody from a set, and gets room for others when it names fewer', async () => {
    const world = new World()
    const urlOf = (i: number): string => `https://id.example/${i}`
    for (let i = 0; i <= MAX_SETS_OF_NAMESPACE; i++) {
      world.answers.set(urlOf(i), [A!])
      await world.want(urlOf(i), ['evil'])
    }
    const last = urlOf(MAX_SETS_OF_NAMESPACE)
    assert.equal(world.calls.length, MAX_SETS_OF_NAMESPACE)
    assert.match(world.fault(last)!, /^namespace evil names more than the 64 key sets/)
    await world.want(last, ['evil', 'shop'])
    assert.deepEqual([world.kids(last), world.fault(last)], [['a'], undefined])
    await world.want(last, ['evil'])
    assert.equal(world.kids(last), undefined)
    await world.want(urlOf(0), [])
    assert.deepEqual([world.kids(last), world.fault(last)], [['a'], undefined])
  })

  test('a set that several use is fetched in the turn of the one with the fewest calls', async () => {
    const world = new World()
    world.hold = true
    for (let i = 0; i < 10; i++) await world.want(`https://slow.example/${i}`, ['evil'])
    await world.want(URL_OF, ['evil', 'shop'])
    assert.equal(world.calls.at(-1)!.owner, 'shop')
  })
})

test('freshness follows Cache-Control and Expires, within bounds', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  const cases: readonly [Record<string, string>, number][] = [
    [{}, 10 * MINUTE],
    [{ 'cache-control': 'public, max-age=1800' }, 30 * MINUTE],
    [{ 'cache-control': 'max-age=1800', age: '600' }, 20 * MINUTE],
    [{ 'cache-control': 'max-age="120"', expires: 'Thu, 01 Jan 2026 00:30:00 GMT' }, 2 * MINUTE],
    [{ 'cache-control': 'max-age=0' }, MINUTE],
    [{ 'cache-control': 'no-store, max-age=1800' }, MINUTE],
    [{ 'cache-control': 'max-age=9999999999' }, HOUR],
    [{ 'cache-control': 'max-age=-5' }, 10 * MINUTE],
    [{ 'cache-control': 'max-age=1800', age: '99999' }, MINUTE],
    [{ expires: 'Thu, 01 Jan 2026 00:30:00 GMT' }, 30 * MINUTE],
    [{ expires: 'Thu, 01 Jan 2026 01:00:00 GMT', date: 'Thu, 01 Jan 2026 00:40:00 GMT' }, 20 * MINUTE],
    [{ expires: '0' }, MINUTE],
    [{ expires: 'never' }, MINUTE],
  ]
  for (const [headers, expected] of cases) assert.equal(freshness(headers, now), expected, JSON.stringify(headers))
})
