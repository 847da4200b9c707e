/**
 * The form of what is remembered: a line of JSON that says what it is, the objects, one a line, and a trailer. With a
 * key the objects are sealed by AES-256-GCM, and the first line with them; without one the trailer is a SHA-256 of all
 * before it, which finds damage and stops nobody.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { type StateKey, sealingKey } from './state-key.ts'

/** What a file says about itself before anything in it can be read. */
export interface StateHeader {
  /** Of the wall clock, when it was written. */
  readonly written: string
  /** Digest of address and CA of the API server. */
  readonly cluster: string
  /** Where was read; none = everywhere. */
  readonly namespaces: readonly string[]
}

/** Whatever is read, or written, differently needs another one: older files are then not used. */
const VERSION = 1
const FORMAT = 'headgate-state'

const CIPHER = 'aes-256-gcm'
const SALT_BYTES = 32
/** NIST SP 800-38D section 8.2. The key is another one for each file, so no nonce is ever used twice with one. */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const DIGEST_BYTES = 32
/** 256 namespaces of 63 characters fit. */
const MAX_HEADER_BYTES = 65_536
const STEP_BYTES = 262_144

interface FirstLine extends StateHeader {
  readonly format: typeof FORMAT
  readonly version: number
  /** Id of the key; with `salt` and `nonce`. */
  readonly key?: string
  readonly salt?: string
  readonly nonce?: string
}

/** Bytes of a file, part by part: `head`, then what `update` returns, then what `end` does. */
export interface StateEncoder {
  readonly head: Buffer
  update(lines: Buffer): Buffer
  end(): Buffer
}

/** @param key none = not sealed */
export function encodeState(header: StateHeader, key: StateKey | undefined): StateEncoder {
  const start = { format: FORMAT, version: VERSION, ...header } satisfies FirstLine
  if (key === undefined) {
    const head = Buffer.from(`${JSON.stringify(start)}\n`)
    const hash = createHash('sha256').update(head)
    const update = (lines: Buffer): Buffer => {
      hash.update(lines)
      return lines
    }
    return { head, update, end: () => hash.digest() }
  }
  const salt = randomBytes(SALT_BYTES)
  const nonce = randomBytes(NONCE_BYTES)
  const first: FirstLine = {
    ...start,
    key: key.id,
    salt: salt.toString('base64'),
    nonce: nonce.toString('base64'),
  }
  const head = Buffer.from(`${JSON.stringify(first)}\n`)
  const cipher = createCipheriv(CIPHER, sealingKey(key, salt), nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(head)
  return {
    head,
    update: (lines) => cipher.update(lines),
    end: () => Buffer.concat([cipher.final(), cipher.getAuthTag()]),
  }
}

export interface OpenedState {
  readonly header: StateHeader
  /** Objects, one a line; nothing of it was changed since it was written. */
  readonly lines: Buffer
}

/**
 * Opens in place, some at a time.
 *
 * @param file is overwritten
 * @param keys none = only what is not sealed is taken; otherwise only what is sealed by one of them, since whoever may
 *   write the file could leave the seal away
 * @throws {TypeError} with why it cannot be used
 */
export async function decodeState(file: Buffer, keys: readonly StateKey[] | undefined): Promise<OpenedState> {
  const newline = file.subarray(0, MAX_HEADER_BYTES).indexOf(0x0a)
  if (newline === -1) throw new TypeError('it is not a file of this kind, or cut short')
  const head = file.subarray(0, newline + 1)
  const first = parseHead(head)
  const rest = file.subarray(newline + 1)
  const lines = keys === undefined ? await unsealed(head, first, rest) : await unseal(head, first, rest, keys)
  const { written, cluster, namespaces } = first
  return { header: { written, cluster, namespaces }, lines }
}

function parseHead(head: Buffer): FirstLine {
  let first: Partial<Record<keyof FirstLine, unknown>>
  try {
    first = JSON.parse(head.toString('utf8'))
  } catch {
    throw new TypeError('it is not a file of this kind, or damaged')
  }
  if (typeof first !== 'object' || first === null || first.format !== FORMAT)
    throw new TypeError('it is not a file of this kind, or damaged')
  if (first.version !== VERSION) throw new TypeError('another version of Headgate has written it')
  const { written, cluster, namespaces } = first
  const texts = [first.key, first.salt, first.nonce].every((text) => text === undefined || typeof text === 'string')
  if (
    !texts ||
    typeof written !== 'string' ||
    Number.isNaN(Date.parse(written)) ||
    typeof cluster !== 'string' ||
    !Array.isArray(namespaces) ||
    !namespaces.every((name) => typeof name === 'string')
  )
    throw new TypeError('its first line is damaged')
  return first as FirstLine
}

async function unsealed(head: Buffer, { key }: FirstLine, rest: Buffer): Promise<Buffer> {
  if (key !== undefined) throw new TypeError('it is sealed; name the file of its key in stateKeyFile')
  if (rest.length < DIGEST_BYTES) throw new TypeError('it is cut short')
  const lines = rest.subarray(0, rest.length - DIGEST_BYTES)
  const hash = createHash('sha256').update(head)
  for (const step of steps(lines)) {
    hash.update(step)
    await turn()
  }
  if (!timingSafeEqual(hash.digest(), rest.subarray(lines.length)))
    throw new TypeError('it is damaged, or not complete')
  return lines
}

async function unseal(head: Buffer, first: FirstLine, rest: Buffer, keys: readonly StateKey[]): Promise<Buffer> {
  if (first.key === undefined) throw new TypeError('it is not sealed, though stateKeyFile names a key')
  const key = keys.find(({ id }) => id === first.key)
  if (key === undefined) throw new TypeError('it is sealed by a key that stateKeyFile does not hold')
  if (rest.length < TAG_BYTES) throw new TypeError('it is cut short')
  const salt = Buffer.from(first.salt ?? '', 'base64')
  const nonce = Buffer.from(first.nonce ?? '', 'base64')
  if (salt.length !== SALT_BYTES || nonce.length !== NONCE_BYTES) throw new TypeError('its first line is damaged')
  const lines = rest.subarray(0, rest.length - TAG_BYTES)
  const decipher = createDecipheriv(CIPHER, sealingKey(key, salt), nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(head).setAuthTag(rest.subarray(lines.length))
  for (const step of steps(lines)) {
    // A stream cipher: as long as what it was made of.
    decipher.update(step).copy(step)
    await turn()
  }
  try {
    decipher.final()
  } catch {
    throw new TypeError('it is damaged, or somebody has changed it')
  }
  return lines
}

function* steps(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += STEP_BYTES) yield bytes.subarray(at, at + STEP_BYTES)
}
