/** Whether a password is that of a hash. It computes as long as the hash wants: never on a thread that serves. */
import { argon2Sync, scryptSync, timingSafeEqual } from 'node:crypto'
import bcrypt from 'bcryptjs'
import { apr1, shaCrypt } from './crypt-digests.ts'
import { type PasswordHash, parsePasswordHash } from './password-hash.ts'

/** Bytes of a password that bcrypt looks at. Longer ones would be as good as what they begin with. */
const BCRYPT_BYTES = 72

/** @param text of a hash; one that is none has no password */
export function checkPassword(text: string, password: string): boolean {
  const hash = parsePasswordHash(text)
  return !('fault' in hash) && check(hash, Buffer.from(password, 'utf8'))
}

function check(hash: PasswordHash, password: Buffer): boolean {
  switch (hash.form) {
    case 'bcrypt':
      // It is computed in any case, so that a long password takes no less time.
      return bcrypt.compareSync(password.toString('utf8'), hash.text) && password.length <= BCRYPT_BYTES
    case 'apr1':
      return same(Buffer.from(apr1(password, hash.salt)), Buffer.from(hash.digest))
    case 'sha256':
    case 'sha512':
      return same(Buffer.from(shaCrypt(hash.form, password, hash.salt, hash.rounds)), Buffer.from(hash.digest))
    case 'scrypt': {
      const { cost, blockSize, parallelization, salt, digest } = hash
      const maxmem = 128 * blockSize * (cost + parallelization + 2)
      return same(scryptSync(password, salt, digest.length, { cost, blockSize, parallelization, maxmem }), digest)
    }
    default: {
      const { form, memory, passes, parallelism, salt: nonce, digest } = hash
      const tagLength = digest.length
      return same(argon2Sync(form, { message: password, nonce, memory, passes, parallelism, tagLength }), digest)
    }
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
