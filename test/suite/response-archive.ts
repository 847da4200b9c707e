/** What every archive of responses does, whatever keeps its records. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { it } from 'node:test'
import {
  type ArchiveAnswer,
  ArchiveError,
  type ArchiveHit,
  type ArchiveKey,
  type ArchiveSource,
  type ArchiveTicket,
  MAX_HEAD_BYTES,
  type ResponseArchive,
  WHOLE_BYTES,
} from '../../src/cache/response-archive.ts'

export interface ArchiveRig {
  /** One replica. */
  readonly archive: ResponseArchive
  /** Another one, which has the same store and key. */
  readonly other: ResponseArchive
  /** One that has the same store and another key. */
  readonly stranger: ResponseArchive
  /** Until what was put for so many milliseconds is over. */
  outlive(ttl: number): Promise<void>
  /** Nothing is stored any more, by a way that the archives do not see. */
  clear(): Promise<void>
  /** Changes every stored byte string for which it returns another one; null: it goes. */
  edit(change: (bytes: Buffer) => Buffer | null): Promise<void>
}

export const bytes = (text: string): Uint8Array => Buffer.from(text)

export const keyOf = (primary: string, variantOf: ArchiveKey['variantOf'] = () => undefined): ArchiveKey => ({
  namespace: 'shop',
  primary: bytes(primary),
  variantOf,
})

/** A vary record that is a name, and the key of its variant with the value. */
export const varied = (primary: string, value: string, namespace = 'shop'): ArchiveKey => ({
  namespace,
  primary: bytes(primary),
  variantOf: (vary) => bytes(`${Buffer.from(vary)}=${value}`),
})

export const sourceOf = (body: Uint8Array): ArchiveSource => ({
  bytes: body.length,
  copy(from, target) {
    target.set(body.subarray(from, from + target.length))
    return true
  },
})

export const HOUR = 3_600_000

export function found(answer: ArchiveAnswer): ArchiveHit {
  assert.equal(answer.type, 'found', JSON.stringify(answer))
  return answer as ArchiveHit
}

export async function ticketOf(archive: ResponseArchive, key: ArchiveKey): Promise<ArchiveTicket> {
  const answer = await archive.find(key)
  assert.notEqual(answer.type, 'away', JSON.stringify(answer))
  return (answer as Exclude<ArchiveAnswer, { type: 'away' }>).ticket
}

export async function readAll(hit: ArchiveHit, from = 0, to = hit.bodyBytes): Promise<Buffer> {
  const reader = hit.read(from, to)
  const parts: Uint8Array[] = []
  for (let part = await reader.next(); part !== null; part = await reader.next()) {
    assert.ok(part.length > 0 && part.length <= WHOLE_BYTES)
    parts.push(part)
  }
  assert.equal(await reader.next(), null, 'it stays at its end')
  return Buffer.concat(parts)
}

export async function put(
  archive: ResponseArchive,
  key: string,
  body: Uint8Array,
  { head = 'head', ttl = HOUR }: { head?: string; ttl?: number } = {},
): Promise<void> {
  const ticket = await ticketOf(archive, keyOf(key))
  assert.equal(await archive.put(ticket, { head: bytes(head), ttl }, sourceOf(body)), 'put')
}

export async function putVariant(archive: ResponseArchive, key: string, value: string, body: string, vary = 'lang') {
  const ticket = await ticketOf(archive, varied(key, value))
  const variant = { vary: bytes(vary), key: bytes(`${vary}=${value}`) }
  return await archive.put(ticket, { head: bytes('head'), ttl: HOUR, variant }, sourceOf(bytes(body)))
}

const text = (answer: ArchiveAnswer): string =>
  answer.type === 'found'
    ? `${Buffer.from(answer.head)}|${answer.whole === null ? '' : Buffer.from(answer.whole)}`
    : answer.type

const textOf = async (archive: ResponseArchive, key: ArchiveKey): Promise<string> => text(await archive.find(key))

export function archiveSuite(rigOf: () => ArchiveRig): void {
  let serial = 0
  /** Tests share the store, and each has a key of its own. */
  const fresh = (): string => `key ${serial++}`

  it('finds in every replica what one has put, and nothing for another key', async () => {
    const { archive, other } = rigOf()
    const key = fresh()
    assert.equal(await textOf(archive, keyOf(key)), 'none')
    await put(archive, key, bytes('body'))
    assert.equal(await textOf(archive, keyOf(key)), 'head|body')
    assert.equal(await textOf(other, keyOf(key)), 'head|body')
    assert.equal(await textOf(other, keyOf(`${key} `)), 'none')
    assert.equal(await textOf(other, { ...keyOf(key), namespace: 'bank' }), 'none', 'namespaces never meet')
  })

  it('keeps an empty body and the largest head, and refuses what is too large', async () => {
    const { archive } = rigOf()
    const key = fresh()
    const head = randomBytes(MAX_HEAD_BYTES)
    const ticket = await ticketOf(archive, keyOf(key))
    const nothing = sourceOf(new Uint8Array(0))
    assert.equal(await archive.put(ticket, { head, ttl: HOUR }, nothing), 'put')
    const hit = found(await archive.find(keyOf(key)))
    assert.deepEqual(Buffer.from(hit.head), head)
    assert.equal(hit.whole?.length, 0)
    assert.equal((await readAll(hit)).length, 0)
    const long = { head: Buffer.alloc(MAX_HEAD_BYTES + 1), ttl: HOUR }
    assert.equal(await archive.put(hit.ticket, long, nothing), 'refused')
    assert.equal(await archive.put(hit.ticket, { head, ttl: 0 }, nothing), 'refused')
    const huge = { bytes: archive.maxBodyBytes + 1, copy: () => assert.fail('it is not read') }
    assert.equal(await archive.put(hit.ticket, { head, ttl: HOUR }, huge), 'refused')
  })

  it('reads long bodies in pieces, whole and in part, whatever the bounds of pieces', async () => {
    const { archive, other } = rigOf()
    for (const length of [WHOLE_BYTES, WHOLE_BYTES + 1, 3 * WHOLE_BYTES, 5 * WHOLE_BYTES + 17]) {
      const key = fresh()
      const body = randomBytes(length)
      await put(archive, key, body)
      const hit = found(await other.find(keyOf(key)))
      assert.equal(hit.bodyBytes, length)
      assert.equal(hit.whole === null, length > WHOLE_BYTES)
      assert.ok((await readAll(hit)).equals(body), `${length}`)
      for (const [from, to] of [
        [0, 1],
        [WHOLE_BYTES - 1, WHOLE_BYTES + 1],
        [length - 1, length],
        [length - 10, length + 10],
        [WHOLE_BYTES, 2 * WHOLE_BYTES],
      ] as const)
        assert.ok((await readAll(hit, from, to)).equals(body.subarray(from, to)), `${length}: ${from}-${to}`)
    }
  })

  it('puts nothing when its source goes away, and leaves what was there', async () => {
    const { archive } = rigOf()
    const key = fresh()
    await put(archive, key, bytes('before'))
    const { ticket } = found(await archive.find(keyOf(key)))
    const source = { bytes: 3 * WHOLE_BYTES, copy: (from: number) => from < WHOLE_BYTES }
    assert.equal(await archive.put(ticket, { head: bytes('new'), ttl: HOUR }, source), 'refused')
    assert.equal(await textOf(archive, keyOf(key)), 'head|before')
  })

  it('forgets what is over', async () => {
    const { archive, outlive } = rigOf()
    const key = fresh()
    await put(archive, key, bytes('short'), { ttl: 40 })
    await outlive(40)
    assert.equal(await textOf(archive, keyOf(key)), 'none')
  })

  it('has variants beside each other, and finds each by what its request says', async () => {
    const { archive, other } = rigOf()
    const key = fresh()
    assert.equal(await putVariant(archive, key, 'de', 'Hallo'), 'put')
    assert.equal(await putVariant(other, key, 'en', 'Hello'), 'put')
    assert.equal(await putVariant(archive, key, 'fr', 'Salut'), 'put')
    for (const replica of [archive, other])
      for (const times of [1, 2]) {
        assert.equal(await textOf(replica, varied(key, 'de')), 'head|Hallo', `${times}`)
        assert.equal(await textOf(replica, varied(key, 'en')), 'head|Hello')
        assert.equal(String(Buffer.from(found(await replica.find(varied(key, 'en'))).vary!)), 'lang')
        assert.equal(await textOf(replica, varied(key, 'it')), 'none')
        assert.equal(await textOf(replica, keyOf(key)), 'none', 'a vary record that the caller cannot read')
      }
  })

  it('lets go of all variants with another vary record, a response without one, and a removal', async () => {
    const { archive, other } = rigOf()
    const key = fresh()
    await putVariant(archive, key, 'de', 'Hallo')
    assert.equal(await textOf(other, varied(key, 'de')), 'head|Hallo')
    assert.equal(await putVariant(archive, key, 'phone', 'small', 'device'), 'put')
    assert.equal(await textOf(other, varied(key, 'phone')), 'head|small')
    assert.equal(await textOf(other, varied(key, 'de')), 'none')
    // The same names as before are another record: what stood beside the first one does not come back.
    assert.equal(await putVariant(other, key, 'en', 'Hello'), 'put')
    assert.equal(await textOf(archive, varied(key, 'de')), 'none')
    assert.equal(await textOf(archive, varied(key, 'en')), 'head|Hello')
    const ticket = await ticketOf(archive, varied(key, 'en'))
    assert.equal(await archive.put(ticket, { head: bytes('head'), ttl: HOUR }, sourceOf(bytes('all'))), 'put')
    assert.equal(await textOf(other, varied(key, 'en')), 'head|all')
    assert.equal(found(await other.find(varied(key, 'en'))).vary, null)
    await putVariant(archive, key, 'en', 'Hello')
    assert.equal(await other.remove(keyOf(key)), true)
    await putVariant(archive, key, 'de', 'Hallo')
    assert.equal(await textOf(archive, varied(key, 'en')), 'none')
  })

  it('takes no put whose ticket is of before a removal, nor of before another put', async () => {
    const { archive, other } = rigOf()
    const key = fresh()
    const record = { head: bytes('head'), ttl: HOUR }
    const early = await ticketOf(archive, keyOf(key))
    assert.equal(await other.remove(keyOf(key)), true)
    assert.equal(await archive.put(early, record, sourceOf(bytes('old'))), 'late')
    assert.equal(await textOf(archive, keyOf(key)), 'none')
    const [first, second] = [await ticketOf(archive, keyOf(key)), await ticketOf(other, keyOf(key))]
    assert.equal(await other.put(second, record, sourceOf(bytes('second'))), 'put')
    assert.equal(await archive.put(first, record, sourceOf(bytes('first'))), 'late')
    assert.equal(await textOf(archive, keyOf(key)), 'head|second')
    // A removal is remembered also behind another put.
    const { ticket } = found(await archive.find(keyOf(key)))
    await archive.remove(keyOf(key))
    await put(other, key, bytes('third'))
    assert.equal(await archive.put(ticket, record, sourceOf(randomBytes(2 * WHOLE_BYTES))), 'late')
    assert.equal(await textOf(archive, keyOf(key)), 'head|third')
  })

  it('takes no put of a variant behind a removal, nor behind another one of the same variant', async () => {
    const { archive, other } = rigOf()
    const key = fresh()
    await putVariant(archive, key, 'de', 'Hallo')
    const variant = { vary: bytes('lang'), key: bytes('lang=de') }
    const record = { head: bytes('head'), ttl: HOUR, variant }
    const early = await ticketOf(archive, varied(key, 'de'))
    const twin = await ticketOf(other, varied(key, 'de'))
    assert.equal(await other.put(twin, record, sourceOf(bytes('neu'))), 'put')
    assert.equal(await archive.put(early, record, sourceOf(bytes('alt'))), 'late')
    assert.equal(await textOf(archive, varied(key, 'de')), 'head|neu')
    const later = await ticketOf(archive, varied(key, 'de'))
    await other.remove(keyOf(key))
    assert.equal(await archive.put(later, record, sourceOf(bytes('alt'))), 'late')
    assert.equal(await textOf(archive, varied(key, 'de')), 'none')
  })

  it('gives a response another head and leaves its body, also one in pieces', async () => {
    const { archive, other, outlive } = rigOf()
    const bodies = [randomBytes(100), randomBytes(3 * WHOLE_BYTES + 5)].map((body) => ({ key: fresh(), body }))
    for (const { key, body } of bodies) {
      await put(archive, key, body, { ttl: 2_000 })
      const hit = found(await other.find(keyOf(key)))
      assert.equal(await other.update(hit.ticket, { head: bytes('fresh again'), ttl: HOUR }), 'put')
    }
    await outlive(2_000)
    for (const { key, body } of bodies) {
      const again = found(await archive.find(keyOf(key)))
      assert.equal(String(Buffer.from(again.head)), 'fresh again')
      assert.ok((await readAll(again)).equals(body))
    }
    const key = fresh()
    assert.equal(await archive.update(await ticketOf(archive, keyOf(key)), { head: bytes('x'), ttl: 1 }), 'refused')
    await putVariant(archive, key, 'de', 'Hallo')
    const { ticket } = found(await archive.find(varied(key, 'de')))
    assert.equal(await archive.update(ticket, { head: bytes('neu'), ttl: HOUR }), 'put')
    assert.equal(await textOf(other, varied(key, 'de')), 'neu|Hallo')
    await archive.remove(keyOf(key))
    assert.equal(await archive.update(ticket, { head: bytes('alt'), ttl: HOUR }), 'late')
    assert.equal(await textOf(other, varied(key, 'de')), 'none')
  })

  it('lets a reader finish whose response is replaced meanwhile', async () => {
    const { archive, other } = rigOf()
    const key = fresh()
    const body = randomBytes(4 * WHOLE_BYTES)
    await put(archive, key, body)
    const hit = found(await archive.find(keyOf(key)))
    await put(other, key, bytes('next'))
    assert.ok((await readAll(hit)).equals(body))
  })

  it('serves nothing that was cut, changed, of another format, or sealed with another key', async () => {
    const { archive, stranger, edit, clear } = rigOf()
    await clear()
    const key = fresh()
    const body = randomBytes(2 * WHOLE_BYTES)
    await put(archive, key, body)
    assert.equal(await textOf(stranger, keyOf(key)), 'none')
    const changes: ((bytes: Buffer) => Buffer)[] = [
      (bytes) => bytes.subarray(0, bytes.length - 1),
      (bytes) => bytes.subarray(0, 10),
      (bytes) => bytes.subarray(0, Math.min(bytes.length, 60)),
      () => Buffer.from('{"version":0}'),
      (bytes) => Buffer.concat([bytes, Buffer.from([0])]),
      ...[0, 1, 5, 20, 25, 33, 40, 60, 70].map((at) => flip(at)),
      (bytes) => flip(bytes.length - 1)(bytes),
    ]
    for (const [i, change] of changes.entries()) {
      await edit(change)
      assert.equal(await textOf(archive, keyOf(key)), 'none', `change ${i}`)
      // And it can be written again, over whatever is there.
      await put(archive, key, body)
      assert.ok((await readAll(found(await archive.find(keyOf(key))))).equals(body), `change ${i}`)
    }
  })

  it('ends a body whose later piece was changed or is gone, and gives no byte of it', async () => {
    const { archive, edit, clear } = rigOf()
    await clear()
    for (const change of [flip(9), () => null, (bytes: Buffer) => bytes.subarray(1)]) {
      const key = fresh()
      const body = randomBytes(2 * WHOLE_BYTES)
      await put(archive, key, body)
      const hit = found(await archive.find(keyOf(key)))
      const size = WHOLE_BYTES + 16
      await edit((bytes) => (bytes.length === size ? change(bytes) : bytes))
      const reader = hit.read(0, body.length)
      assert.ok(Buffer.from((await reader.next())!).equals(body.subarray(0, WHOLE_BYTES)))
      await assert.rejects(reader.next(), ArchiveError)
      // It is no response any more: the next one would end early, too.
      for (let tries = 0; (await textOf(archive, keyOf(key))) !== 'none'; tries++) assert.ok(tries < 1_000)
    }
  })

  it('finds no body of which a piece is gone', async () => {
    const { archive, edit, clear } = rigOf()
    await clear()
    const key = fresh()
    await put(archive, key, randomBytes(3 * WHOLE_BYTES))
    await edit((bytes) => (bytes.length === WHOLE_BYTES + 16 ? null : bytes))
    assert.equal(await textOf(archive, keyOf(key)), 'none')
  })

  it('never gives the body of one response for another, whatever is moved around', async () => {
    const { archive, edit, clear } = rigOf()
    await clear()
    const key = fresh()
    await put(archive, key, bytes('mine'))
    const records: Buffer[] = []
    await edit((bytes) => {
      records.push(Buffer.from(bytes))
      return bytes
    })
    const others = [fresh(), fresh()]
    for (const other of others) await put(archive, other, bytes(`of ${other}`))
    for (const record of records) {
      await edit(() => record)
      for (const other of others) assert.notEqual(await textOf(archive, keyOf(other)), 'head|mine')
    }
  })
}

const flip =
  (at: number) =>
  (bytes: Buffer): Buffer => {
    const changed = Buffer.from(bytes)
    if (changed.length > 0) changed[Math.min(at, changed.length - 1)]! ^= 1
    return changed
  }
