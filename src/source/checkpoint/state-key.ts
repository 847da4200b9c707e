/**
 * Keys by which what is remembered of a cluster is sealed. A file with one a line: the first seals, each of them opens,
 * so that a key is replaced by putting the new one above it and taking the old one away later.
 */
import { hkdfSync } from 'node:crypto'
import { readText } from '../read-text.ts'

export interface StateKey {
  /** Tells keys apart and says nothing about them. */
  readonly id: string
  readonly bytes: Buffer
}

const MAX_BYTES = 65_536
const MAX_KEYS = 16

/** As much as the cipher's own key: less could be guessed from the file that it seals. */
const LEAST_BYTES = 32

const ID_BYTES = 8

/**
 * @param path links are followed: a mounted Secret is one
 * @throws {TypeError} with what is wrong with the file, never with what it holds
 */
export async function readKeys(path: string): Promise<readonly StateKey[]> {
  const read = await readText(path, MAX_BYTES)
  if (read.ok) return parseKeys(read.text)
  if (read.gone) throw new TypeError('the file of keys does not exist')
  throw new TypeError(`the file of keys cannot be used: ${read.regular ? read.message : `it is ${read.kind}`}`)
}

/** @throws {TypeError} see {@link readKeys} */
export function parseKeys(text: string): readonly StateKey[] {
  const keys: StateKey[] = []
  for (const [index, line] of text.split('\n').entries()) {
    const written = line.trim()
    if (written === '' || written.startsWith('#')) continue
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(written))
      throw new TypeError(
        `line ${index + 1} of the file of keys is not base64; make a key with: openssl rand -base64 32`,
      )
    const bytes = Buffer.from(written, 'base64')
    if (bytes.length < LEAST_BYTES)
      throw new TypeError(`line ${index + 1} of the file of keys holds ${bytes.length} bytes, at least 32 are needed`)
    keys.push({ id: derive(bytes, 'headgate state key id', ID_BYTES).toString('hex'), bytes })
  }
  if (keys.length === 0) throw new TypeError('the file of keys holds none; make one with: openssl rand -base64 32')
  if (keys.length > MAX_KEYS) throw new TypeError(`the file of keys holds more than ${MAX_KEYS}`)
  return keys
}

/** @param salt makes the key of one file differ from that of the next (RFC 5869 section 3.1) */
export function sealingKey(key: StateKey, salt: Buffer): Buffer {
  return derive(key.bytes, 'headgate state seal 1', 32, salt)
}

function derive(bytes: Buffer, purpose: string, length: number, salt: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.from(hkdfSync('sha256', bytes, salt, purpose, length))
}
