/**
 * Secrets of clients as they are stored: the SHA-256 of one that is random, perhaps with a time at which it ends. A
 * secret of 256 random bits needs no slow hash, since nobody can try them all.
 */
import { hash, timingSafeEqual } from 'node:crypto'

export interface ClientSecret {
  readonly digest: Uint8Array
  /** Milliseconds since the epoch; infinity = never. */
  readonly expires: number
}

/** Characters of a secret as it is sent. */
export const MAX_CLIENT_SECRET = 1_024

const FORM = /^sha256:([0-9a-f]{64})(?: expires=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,3})?Z))?$/

/** What everybody tries first. */
const GUESSED: ReadonlySet<string> = new Set(
  ['', 'secret', 'changeme', 'password', 'test', 'client_secret', 'client-secret', '123456', 'admin'].map(hexDigest),
)

/** @returns what is wrong, as the end of a sentence about the text; it never has a part of it */
export function parseClientSecret(text: string): ClientSecret | string {
  const [, digest, time] = FORM.exec(text) ?? []
  if (digest === undefined)
    return 'is not sha256: and 64 hexadecimal digits, perhaps with expires=2027-01-31T00:00:00Z behind a space; headgate token hash makes it'
  if (GUESSED.has(digest)) return 'is the digest of a secret that everybody tries first; make a random one'
  const expires = time === undefined ? Number.POSITIVE_INFINITY : Date.parse(time)
  if (Number.isNaN(expires)) return 'ends at a time that does not exist'
  return { digest: Buffer.from(digest, 'hex'), expires }
}

/** The form for a Secret. @param secret as a client sends it */
export function writeClientSecret(secret: string): string {
  return `sha256:${hexDigest(secret)}`
}

/** Takes the same time whichever of them it is, or none. @param now milliseconds since the epoch */
export function fitsClientSecret(given: string, secrets: readonly ClientSecret[], now: number): boolean {
  const digest = hash('sha256', given, 'buffer')
  let fits = false
  for (const one of secrets) if (timingSafeEqual(digest, one.digest) && now < one.expires) fits = true
  return fits
}

function hexDigest(text: string): string {
  return hash('sha256', text, 'hex')
}
