/**
 * The file format of a checkpoint: a header line of JSON, one object per line, and a trailer. With a key the objects
 * are encrypted by AES-256-GCM, which also authenticates the header; without one the trailer is a SHA-256 of all bytes
 * before it, which detects damage but no manipulation.
 */
import { createCipheriv, createDecipheriv, createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { type SliceClock, SlicePauses } from '../../lib/time-slice.ts'
import { encryptionKey, type StateKey } from './state-key.ts'

/** The header of a file, readable without a key. */
export interface StateHeader {
  /** Wall clock time of the write. */
  readonly written: string
  /** Digest of address and CA of the API server. */
  readonly cluster: string
  /** Namespaces of the checkpoint; empty means all. */
  readonly namespaces: readonly string[]
}

/** Incremented with every change of the format: files of other versions are not used. */
const VERSION = 1
const FORMAT = 'headgate-state'

const CIPHER = 'aes-256-gcm'
const SALT_BYTES = 32
/** NIST SP 800-38D section 8.2. Each file has a key of its own, so no nonce is used twice with one key. */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const DIGEST_BYTES = 32
/** 256 namespaces of 63 characters fit. */
const MAX_HEADER_BYTES = 65_536
const STEP_BYTES = 262_144

interface FirstLine extends StateHeader {
  readonly format: typeof FORMAT
  readonly version: number
  /** Id of the key; present together with `salt` and `nonce`. */
  readonly key?: string
  readonly salt?: string
  readonly nonce?: string
}

/** Produces a file in parts: `head`, then the results of `update`, then that of `end`. */
export interface StateEncoder {
  readonly head: Buffer
  update(lines: Buffer): Buffer
  end(): Buffer
}

/** @param key undefined means no encryption */
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
  const cipher = createCipheriv(CIPHER, encryptionKey(key, salt), nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(head)
  return {
    head,
    update: (lines) => cipher.update(lines),
    end: () => Buffer.concat([cipher.final(), cipher.getAuthTag()]),
  }
}

export interface DecodedState {
  readonly header: StateHeader
  /** One object per line; verified to be unchanged since the write. */
  readonly lines: Buffer
}

/**
 * Verifies and decrypts a file in place, in several turns of the event loop.
 *
 * @param file is overwritten
 * @param keys undefined accepts only unencrypted files; otherwise only files encrypted with one of the keys are
 *   accepted, because an attacker with write permission could store an unencrypted file
 * @throws {TypeError} with the cause when it cannot be used
 */
export async function decodeState(
  file: Buffer,
  keys: readonly StateKey[] | undefined,
  time: SliceClock,
): Promise<DecodedState> {
  const newline = file.subarray(0, MAX_HEADER_BYTES).indexOf(0x0a)
  if (newline === -1) throw new TypeError('it is not a state file, or truncated')
  const head = file.subarray(0, newline + 1)
  const first = parseHead(head)
  const rest = file.subarray(newline + 1)
  const pauses = new SlicePauses(time)
  const lines =
    keys === undefined ? await verify(head, first, rest, pauses) : await decrypt(head, first, rest, keys, pauses)
  const { written, cluster, namespaces } = first
  return { header: { written, cluster, namespaces }, lines }
}

function parseHead(head: Buffer): FirstLine {
  let first: Partial<Record<keyof FirstLine, unknown>>
  try {
    first = JSON.parse(head.toString('utf8'))
  } catch {
    throw new TypeError('it is not a state file, or damaged')
  }
  if (typeof first !== 'object' || first === null || first.format !== FORMAT)
    throw new TypeError('it is not a state file, or damaged')
  if (first.version !== VERSION) throw new TypeError('another version of Headgate wrote it')
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

async function verify(head: Buffer, { key }: FirstLine, rest: Buffer, pauses: SlicePauses): Promise<Buffer> {
  if (key !== undefined) throw new TypeError('it is encrypted; set stateKeyFile to the file of its key')
  if (rest.length < DIGEST_BYTES) throw new TypeError('it is truncated')
  const lines = rest.subarray(0, rest.length - DIGEST_BYTES)
  const hash = createHash('sha256').update(head)
  for (const step of steps(lines)) {
    hash.update(step)
    await pauses.next()
  }
  if (!timingSafeEqual(hash.digest(), rest.subarray(lines.length))) throw new TypeError('it is damaged, or incomplete')
  return lines
}

async function decrypt(
  head: Buffer,
  first: FirstLine,
  rest: Buffer,
  keys: readonly StateKey[],
  pauses: SlicePauses,
): Promise<Buffer> {
  if (first.key === undefined) throw new TypeError('it is not encrypted although stateKeyFile is set')
  const key = keys.find(({ id }) => id === first.key)
  if (key === undefined) throw new TypeError('it is encrypted with a key that stateKeyFile does not contain')
  if (rest.length < TAG_BYTES) throw new TypeError('it is truncated')
  const salt = Buffer.from(first.salt ?? '', 'base64')
  const nonce = Buffer.from(first.nonce ?? '', 'base64')
  if (salt.length !== SALT_BYTES || nonce.length !== NONCE_BYTES) throw new TypeError('its first line is damaged')
  const lines = rest.subarray(0, rest.length - TAG_BYTES)
  const decipher = createDecipheriv(CIPHER, encryptionKey(key, salt), nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(head).setAuthTag(rest.subarray(lines.length))
  for (const step of steps(lines)) {
    // The mode is a stream cipher: the plaintext has the length of the ciphertext.
    decipher.update(step).copy(step)
    await pauses.next()
  }
  try {
    decipher.final()
  } catch {
    throw new TypeError('it is damaged, or was modified')
  }
  return lines
}

function* steps(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += STEP_BYTES) yield bytes.subarray(at, at + STEP_BYTES)
}
