/**
 * Keys that sign tokens, as a Secret lists them by name: which of them is the newest, from when it signs, and what is
 * published of all of them (RFC 7517).
 */
import { createPrivateKey, createPublicKey, hash, type KeyObject } from 'node:crypto'
import type { Milliseconds } from '../lib/clock.ts'
import { isPublished, type VerificationKey } from './verification-keys.ts'

export interface SigningKey {
  /** `kid`: the thumbprint of the public half (RFC 7638), so a key keeps it under every name. */
  readonly id: string
  readonly algorithm: SigningAlgorithm
  /** PKCS #8 in PEM. */
  readonly pem: string
  /** Milliseconds since the epoch: it is published before, and signs from then on. */
  readonly from: number
}

export type SigningAlgorithm = 'ES256' | 'EdDSA' | 'RS256'

/** From the oldest to the newest. */
export type SigningKeys = readonly SigningKey[]

export interface SigningKeysFault {
  /** A clause: what is wrong and what to do. It never has a part of a key. */
  readonly fault: string
}

export const MAX_SIGNING_KEYS = 16
const MAX_PEM = 16_384
/** Signing with 4096 bits takes some 3 ms, which whoever asks for a token does not pay for. */
const RSA_BITS = { min: 2_048, max: 4_096 } as const
const RSA_EXPONENT = 65_537n

/**
 * How long a key that is added to a Secret is published before it signs: longer than verifiers keep a set that they
 * have fetched.
 */
export const PUBLISHED_BEFORE: Milliseconds = 600_000
/** For how long verifiers may keep a set. */
export const KEY_SET_MAX_AGE: Milliseconds = 300_000

/** In the name of a key: from when it signs, in UTC. No colon may stand there. */
const TIME = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z(?![0-9A-Za-z])/

/**
 * @param entries name and PEM of each. The newest is the one with the latest time at the beginning of its name
 *   (`20261201T000000Z.pem`); names without a time are older, and among them the last in byte order is the newest
 */
export function parseSigningKeys(entries: Iterable<readonly [string, string]>): SigningKeys | SigningKeysFault {
  const found: (SigningKey & { readonly name: string })[] = []
  for (const [name, text] of entries) {
    if (found.length === MAX_SIGNING_KEYS)
      return { fault: `it has more than ${MAX_SIGNING_KEYS} keys; remove old ones` }
    const from = timeOf(name)
    if (from === undefined) return { fault: `the name ${name} begins with a time that does not exist` }
    const read = readKey(text)
    if ('fault' in read) return { fault: `${name} ${read.fault}` }
    const twin = found.find(({ id }) => id === read.id)
    if (twin !== undefined) return { fault: `${twin.name} and ${name} are one key; remove one of them` }
    found.push({ name, ...read, from })
  }
  if (found.length === 0) return { fault: 'it has no key; add one that headgate token key makes' }
  return found
    .sort((a, b) => a.from - b.from || (a.name < b.name ? -1 : 1))
    .map(({ id, algorithm, pem, from }) => ({ id, algorithm, pem, from }))
}

/** @returns 0 without a time in it, undefined for one that does not exist */
function timeOf(name: string): number | undefined {
  const parts = TIME.exec(name)
  if (parts === null) return 0
  const [, year, month, day, hour, minute, second] = parts
  const text = `${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`
  const time = Date.parse(text)
  return Number.isNaN(time) || new Date(time).toISOString() !== text ? undefined : time
}

/** @returns the fault as the end of a sentence about the key */
function readKey(text: string): Pick<SigningKey, 'id' | 'algorithm' | 'pem'> | SigningKeysFault {
  if (text.length > MAX_PEM) return { fault: `is larger than ${MAX_PEM} bytes` }
  let key: KeyObject
  try {
    key = createPrivateKey(text)
  } catch {
    return { fault: 'is no private key in PEM without a pass phrase; make one with headgate token key' }
  }
  const algorithm = algorithmOf(key)
  if (typeof algorithm !== 'string') return algorithm
  const publicKey = createPublicKey(key)
  if (isPublished(publicKey)) return { fault: 'is published in documents; make a new one' }
  return { id: thumbprint(publicKey), algorithm, pem: key.export({ type: 'pkcs8', format: 'pem' }) as string }
}

function algorithmOf(key: KeyObject): SigningAlgorithm | SigningKeysFault {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'ed25519') return 'EdDSA'
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return 'ES256'
  if (type !== 'rsa') return { fault: 'is of a kind that does not sign here; P-256, Ed25519 and RSA do' }
  const bits = details?.modulusLength ?? 0
  if (bits < RSA_BITS.min || bits > RSA_BITS.max)
    return { fault: `is of RSA with ${bits} bits; ${RSA_BITS.min} to ${RSA_BITS.max} may be used` }
  if (details?.publicExponent !== RSA_EXPONENT) return { fault: 'is of RSA with another exponent than 65537' }
  return 'RS256'
}

/** RFC 7638 §3: the required members in the order of their names. */
function thumbprint(key: KeyObject): string {
  const { crv, e, kty, n, x, y } = key.export({ format: 'jwk' })
  return hash('sha256', JSON.stringify({ crv, e, kty, n, x, y }), 'base64url')
}

/**
 * Keys that a Secret did not have before sign no earlier than they have been published for
 * {@link PUBLISHED_BEFORE}: verifiers may still have a set without them.
 *
 * @param now milliseconds since the epoch
 */
export function delayAdded(keys: SigningKeys, before: SigningKeys, now: number): SigningKeys {
  const known = new Map(before.map((key) => [key.id, key]))
  // Where nothing of before is left, nothing else could sign.
  if (!keys.some(({ id }) => known.has(id))) return keys
  return keys.map((key) => {
    const old = known.get(key.id)
    const earliest = old === undefined ? now + PUBLISHED_BEFORE : old.from
    return earliest <= key.from ? key : { ...key, from: earliest }
  })
}

/** The newest whose time has come; the first to come where there is none. @param now milliseconds since the epoch */
export function signerAt(keys: SigningKeys, now: number): SigningKey {
  return keys.findLast(({ from }) => from <= now) ?? keys.reduce((a, b) => (b.from < a.from ? b : a))
}

/** The form in which workers get them. */
export function writeSigningKeys(keys: SigningKeys): string {
  return JSON.stringify(keys)
}

/** @param text of {@link writeSigningKeys} */
export function readSigningKeys(text: string): SigningKeys {
  return JSON.parse(text) as SigningKeys
}

/** Their public halves, by which tokens of all of them are verified. */
export function verificationKeysOf(keys: SigningKeys): readonly VerificationKey[] {
  return keys.map(({ id, algorithm, pem }) => ({ id, algorithms: [algorithm], key: createPublicKey(pem) }))
}

/** A JSON Web Key Set of all public halves. */
export function publishedSet(keys: SigningKeys): string {
  const published = keys.map(({ id, algorithm, pem }) => ({
    ...createPublicKey(pem).export({ format: 'jwk' }),
    ...{ kid: id, alg: algorithm, use: 'sig' },
  }))
  return JSON.stringify({ keys: published })
}
