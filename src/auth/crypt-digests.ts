/**
 * The digests of `$apr1$` (MD5-crypt with Apache's magic) and of `$5$` and `$6$` (Drepper, "Unix crypt using SHA-256
 * and SHA-512"), as libraries of C have them.
 */
import { hash } from 'node:crypto'

const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** Groups of three bytes, the first one highest; each is written as four characters, the lowest six bits first. */
function write(digest: Uint8Array, groups: readonly (readonly number[])[]): string {
  let text = ''
  for (const group of groups) {
    let bits = 0
    for (const index of group) bits = bits * 256 + (index < 0 ? 0 : digest[index]!)
    const known = group.filter((index) => index >= 0).length
    for (let i = 0; i < known + 1; i++) {
      text += ALPHABET[bits % 64]
      bits = Math.floor(bits / 64)
    }
  }
  return text
}

const digest = (algorithm: string, parts: readonly Uint8Array[]): Buffer =>
  hash(algorithm, Buffer.concat(parts), 'buffer')

const MAGIC = Buffer.from('$apr1$')
const ZERO = Buffer.from([0])
const APR1_GROUPS = [
  [0, 6, 12],
  [1, 7, 13],
  [2, 8, 14],
  [3, 9, 15],
  [4, 10, 5],
  [-1, -1, 11],
]

export function apr1(password: Uint8Array, saltText: string): string {
  const salt = Buffer.from(saltText, 'latin1')
  const other = digest('md5', [password, salt, password])
  const parts: Uint8Array[] = [password, MAGIC, salt, repeated(other, password.length)]
  for (let i = password.length; i > 0; i >>= 1) parts.push((i & 1) === 1 ? ZERO : password.subarray(0, 1))
  let result = digest('md5', parts)
  for (let i = 0; i < 1_000; i++) {
    const round: Uint8Array[] = [i % 2 === 1 ? password : result]
    if (i % 3 !== 0) round.push(salt)
    if (i % 7 !== 0) round.push(password)
    round.push(i % 2 === 1 ? result : password)
    result = digest('md5', round)
  }
  return write(result, APR1_GROUPS)
}

/** Three bytes a group, in the order in which the specification rotates them; the last group is short. */
const SHA_GROUPS = {
  sha256: [...Array.from({ length: 10 }, (_, i) => rotated([i, i + 10, i + 20], (2 * i) % 3)), [-1, 31, 30]],
  sha512: [...Array.from({ length: 21 }, (_, i) => rotated([i, i + 21, i + 42], i % 3)), [-1, -1, 63]],
}

function rotated(group: readonly number[], by: number): readonly number[] {
  return [...group.slice(by), ...group.slice(0, by)]
}

export function shaCrypt(form: 'sha256' | 'sha512', password: Uint8Array, saltText: string, rounds: number): string {
  const salt = Buffer.from(saltText, 'latin1')
  const { length } = password
  const other = digest(form, [password, salt, password])
  const parts: Uint8Array[] = [password, salt, repeated(other, length)]
  for (let i = length; i > 0; i >>= 1) parts.push((i & 1) === 1 ? other : password)
  let result = digest(form, parts)
  const p = repeated(digest(form, Array<Uint8Array>(length).fill(password)), length)
  const s = repeated(digest(form, Array<Uint8Array>(16 + result[0]!).fill(salt)), salt.length)
  for (let i = 0; i < rounds; i++) {
    const round: Uint8Array[] = [i % 2 === 1 ? p : result]
    if (i % 3 !== 0) round.push(s)
    if (i % 7 !== 0) round.push(p)
    round.push(i % 2 === 1 ? result : p)
    result = digest(form, round)
  }
  return write(result, SHA_GROUPS[form])
}

/** As many bytes, of the same again and again. */
function repeated(bytes: Uint8Array, length: number): Buffer {
  return Buffer.alloc(length, bytes)
}
