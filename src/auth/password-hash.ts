/**
 * Hashes of passwords as a file of htpasswd has them: which forms are accepted, and what checking one may cost. Whoever
 * writes the file decides that, and everybody who logs in waits for it.
 */

/** `$apr1$`, `$5$` and `$6$` are those of `htpasswd -m`, `-2`, `-5` and `openssl passwd`. */
export type PasswordHash =
  | { readonly form: 'bcrypt'; readonly text: string }
  | { readonly form: 'apr1'; readonly salt: string; readonly digest: string }
  | {
      readonly form: 'sha256' | 'sha512'
      readonly rounds: number
      readonly salt: string
      readonly digest: string
    }
  | {
      readonly form: 'scrypt'
      /** CPU and memory. */
      readonly cost: number
      readonly blockSize: number
      readonly parallelization: number
      readonly salt: Uint8Array
      readonly digest: Uint8Array
    }
  | {
      readonly form: 'argon2id' | 'argon2i' | 'argon2d'
      /** KiB. */
      readonly memory: number
      readonly passes: number
      readonly parallelism: number
      readonly salt: Uint8Array
      readonly digest: Uint8Array
    }

export interface PasswordHashFault {
  /** What is wrong, as the end of a sentence about the line: it has nothing of the line. */
  readonly fault: string
}

/** One check with the most of everything takes about a second of a core. */
const MIN_BCRYPT_COST = 5
const MAX_BCRYPT_COST = 14
const MIN_ROUNDS = 1_000
const MAX_ROUNDS = 200_000
const DEFAULT_ROUNDS = 5_000
/** KiB of memory, and of memory in all passes. */
const MIN_MEMORY = 1_024
const MAX_MEMORY = 64 * 1_024
const MAX_WORK = 256 * 1_024
const MIN_SALT = 8
const MIN_DIGEST = 16
const MAX_DIGEST = 64

const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/
const APR1 = /^\$apr1\$([^$:]{1,8})\$([./A-Za-z0-9]{22})$/
const SHA_CRYPT = /^\$([56])\$(?:rounds=(\d{1,9})\$)?([^$:]{1,16})\$([./A-Za-z0-9]+)$/
const SCRYPT = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/
const ARGON2 = /^\$(argon2(?:id|i|d))\$v=19\$m=(\d{1,9}),t=(\d{1,6}),p=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/

const ACCEPTED = 'store bcrypt (htpasswd -B), argon2, scrypt, $6$, $5$ or $apr1$'

export function parsePasswordHash(text: string): PasswordHash | PasswordHashFault {
  if (/^\$2[a-z]?\$/.test(text)) return parseBcrypt(text)
  if (text.startsWith('$apr1$')) return parseApr1(text)
  if (/^\$[56]\$/.test(text)) return parseShaCrypt(text)
  if (text.startsWith('$scrypt$')) return parseScrypt(text)
  if (text.startsWith('$argon2')) return parseArgon2(text)
  if (/^\{S?SHA\d*\}/i.test(text))
    return { fault: `has a plain SHA digest, of which tables of passwords are known; ${ACCEPTED}` }
  return { fault: `has no hash of a known form; ${ACCEPTED}` }
}

const malformed = (form: string): PasswordHashFault => ({ fault: `has a hash of ${form} that is cut off or malformed` })

function parseBcrypt(text: string): PasswordHash | PasswordHashFault {
  const cost = Number(BCRYPT.exec(text)?.[1])
  if (Number.isNaN(cost)) return malformed('bcrypt')
  if (cost < MIN_BCRYPT_COST || cost > MAX_BCRYPT_COST)
    return { fault: `has a cost of bcrypt that is not ${MIN_BCRYPT_COST} to ${MAX_BCRYPT_COST}` }
  return { form: 'bcrypt', text }
}

function parseApr1(text: string): PasswordHash | PasswordHashFault {
  const [, salt, digest] = APR1.exec(text) ?? []
  return salt === undefined ? malformed('$apr1$') : { form: 'apr1', salt, digest: digest! }
}

function parseShaCrypt(text: string): PasswordHash | PasswordHashFault {
  const [, kind, stated, salt, digest] = SHA_CRYPT.exec(text) ?? []
  const length = kind === '5' ? 43 : 86
  if (kind === undefined || digest!.length !== length) return malformed('$5$ or $6$')
  const rounds = stated === undefined ? DEFAULT_ROUNDS : Number(stated)
  if (rounds < MIN_ROUNDS || rounds > MAX_ROUNDS)
    return { fault: `has a number of rounds that is not ${MIN_ROUNDS} to ${MAX_ROUNDS}` }
  return { form: kind === '5' ? 'sha256' : 'sha512', rounds, salt: salt!, digest: digest! }
}

function parseScrypt(text: string): PasswordHash | PasswordHashFault {
  const [, ln, r, p, salt64, digest64] = SCRYPT.exec(text) ?? []
  if (ln === undefined) return malformed('scrypt')
  const [cost, blockSize, parallelization] = [2 ** Number(ln), Number(r), Number(p)]
  const memory = (cost * blockSize) / 8
  const bound = outOfBounds(memory, memory * parallelization)
  if (bound !== undefined || parallelization < 1) return { fault: bound ?? 'has p=0' }
  const parts = saltAndDigest(salt64!, digest64!)
  return 'fault' in parts ? parts : { form: 'scrypt', cost, blockSize, parallelization, ...parts }
}

function parseArgon2(text: string): PasswordHash | PasswordHashFault {
  const [, form, m, t, p, salt64, digest64] = ARGON2.exec(text) ?? []
  if (form === undefined) return malformed('argon2 (version 19)')
  const [memory, passes, parallelism] = [Number(m), Number(t), Number(p)]
  const bound = outOfBounds(memory, memory * passes)
  if (bound !== undefined) return { fault: bound }
  if (passes < 1 || parallelism < 1 || parallelism > 16) return { fault: 'has t=0, or p that is not 1 to 16' }
  const parts = saltAndDigest(salt64!, digest64!)
  if ('fault' in parts) return parts
  return { form: form as 'argon2id' | 'argon2i' | 'argon2d', memory, passes, parallelism, ...parts }
}

/** @param memory KiB */
function outOfBounds(memory: number, work: number): string | undefined {
  if (memory < MIN_MEMORY) return `has a hash that takes less than ${MIN_MEMORY} KiB of memory, which is weak`
  if (memory > MAX_MEMORY) return `has a hash that takes more than ${MAX_MEMORY / 1_024} MiB of memory`
  return work > MAX_WORK ? `has a hash that works through more than ${MAX_WORK / 1_024} MiB of memory` : undefined
}

function saltAndDigest(
  salt64: string,
  digest64: string,
): { readonly salt: Uint8Array; readonly digest: Uint8Array } | PasswordHashFault {
  const [salt, digest] = [Buffer.from(salt64, 'base64'), Buffer.from(digest64, 'base64')]
  if (salt.length < MIN_SALT || salt.length > MAX_DIGEST) return { fault: `has a salt that is not 8 to 64 bytes long` }
  if (digest.length < MIN_DIGEST || digest.length > MAX_DIGEST)
    return { fault: `has a digest that is not ${MIN_DIGEST} to ${MAX_DIGEST} bytes long` }
  return { salt, digest }
}
