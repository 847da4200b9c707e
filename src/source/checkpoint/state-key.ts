/**
 * Encryption keys of checkpoints. The key file has one per line: the first encrypts, every one decrypts, so a key is
 * rotated by adding the new one above it and removing the old one later.
 */
import { hkdfSync } from 'node:crypto'
import { readText } from '../read-text.ts'

export interface StateKey {
  /** Identifies the key without revealing it. */
  readonly id: string
  readonly bytes: Buffer
}

const MAX_BYTES = 65_536
const MAX_KEYS = 16

/** The size of the cipher's key: a shorter secret could be guessed from a file encrypted with it. */
const MIN_BYTES = 32

const ID_BYTES = 8

/**
 * @param path links are followed, because a mounted Secret is one
 * @throws {TypeError} with the error, never with content of the file
 */
export async function readKeys(path: string): Promise<readonly StateKey[]> {
  const read = await readText(path, MAX_BYTES)
  if (read.ok) return parseKeys(read.text)
  if (read.gone) throw new TypeError('the key file does not exist')
  throw new TypeError(`the key file cannot be used: ${read.regular ? read.message : `it is ${read.kind}`}`)
}

/** @throws {TypeError} see {@link readKeys} */
export function parseKeys(text: string): readonly StateKey[] {
  const keys: StateKey[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const written = line.trim()
    if (written === '' || written.startsWith('#')) continue
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(written))
      throw new TypeError(
        `line ${index + 1} of the key file is not base64; generate a key with: openssl rand -base64 32`,
      )
    const bytes = Buffer.from(written, 'base64')
    if (bytes.length < MIN_BYTES)
      throw new TypeError(`line ${index + 1} of the key file has ${bytes.length} bytes; at least 32 are required`)
    keys.push({ id: derive(bytes, 'headgate state key id', ID_BYTES).toString('hex'), bytes })
  }
  if (keys.length === 0) throw new TypeError('the key file contains no key; generate one with: openssl rand -base64 32')
  if (keys.length > MAX_KEYS) throw new TypeError(`the key file contains more than ${MAX_KEYS} keys`)
  return keys
}

/** @param salt makes the keys of two files differ (RFC 5869 section 3.1) */
export function encryptionKey(key: StateKey, salt: Buffer): Buffer {
  return derive(key.bytes, 'headgate state seal 1', 32, salt)
}

function derive(bytes: Buffer, purpose: string, length: number, salt: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.from(hkdfSync('sha256', bytes, salt, purpose, length))
}
