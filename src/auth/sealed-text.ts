/**
 * Texts that only whoever has the key can read and make: AES-256-GCM (NIST SP 800-38D). Each has a key of its own,
 * derived by HKDF from a random salt, so that no number of texts wears a key out and no nonce can come twice with one.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'

const SALT_BYTES = 24
const TAG_BYTES = 16
const KEY_BYTES = 32
/** Used once with each key. */
const NONCE = Buffer.alloc(12)
const CIPHER = 'aes-256-gcm'

export interface SealingKey {
  readonly key: Uint8Array
  /** What the text is and whom it is for: it opens for the same alone. */
  readonly purpose: string
}

/** @param random so many bytes that nobody can guess */
export function seal({ key, purpose }: SealingKey, text: string, random: (bytes: number) => Uint8Array): string {
  const salt = random(SALT_BYTES)
  const cipher = createCipheriv(CIPHER, keyOf(key, salt), NONCE, { authTagLength: TAG_BYTES })
  cipher.setAAD(Buffer.from(purpose))
  const sealed = [salt, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]
  return Buffer.concat(sealed).toString('base64url')
}

/** @returns undefined for what was not sealed with this key for this purpose, or is spelt otherwise */
export function open({ key, purpose }: SealingKey, sealed: string): string | undefined {
  const bytes = Buffer.from(sealed, 'base64url')
  if (bytes.length < SALT_BYTES + TAG_BYTES || bytes.toString('base64url') !== sealed) return undefined
  const decipher = createDecipheriv(CIPHER, keyOf(key, bytes.subarray(0, SALT_BYTES)), NONCE, {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(Buffer.from(purpose))
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
  try {
    return Buffer.concat([decipher.update(bytes.subarray(SALT_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8')
  } catch {
    return undefined
  }
}

function keyOf(key: Uint8Array, salt: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, salt, 'headgate sealed text', KEY_BYTES))
}
