/** Keys and tokens, good and forged. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { SignJWT } from 'jose'

export const ISSUER = 'https://id.example/'
export const AUDIENCE = 'shop'

export const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 })
export const EC = generateKeyPairSync('ec', { namedCurve: 'P-256' })
export const ED = generateKeyPairSync('ed25519')

export const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }) as string

/** Seconds since the epoch. */
export const now = (): number => Math.floor(Date.now() / 1_000)

export interface TokenOptions {
  readonly key?: KeyObject | Uint8Array
  readonly header?: Readonly<Record<string, unknown>>
  readonly claims?: Readonly<Record<string, unknown>>
}

/** Valid for five minutes unless the claims say otherwise; undefined takes a claim out. */
export function tokenOf({ key = RSA.privateKey, header = {}, claims = {} }: TokenOptions = {}): Promise<string> {
  const stated = { iss: ISSUER, aud: AUDIENCE, sub: 'alice', iat: now(), exp: now() + 300, ...claims }
  return new SignJWT(JSON.parse(JSON.stringify(stated))).setProtectedHeader({ alg: 'RS256', ...header }).sign(key)
}

/** Any three parts, as they are. */
export function rawToken(header: string, claims: string, signature = 'c2ln'): string {
  const parts = [header, claims].map((part) => Buffer.from(part, 'utf8').toString('base64url'))
  return [...parts, signature].join('.')
}

/** A good token of {@link EC} whose claims are written as they are given, besides those that it needs. */
export function writtenToken(claims: string): string {
  const head = { alg: 'ES256' }
  const needed = JSON.stringify({ iss: ISSUER, aud: AUDIENCE, exp: now() + 300 })
  const [first, second] = rawToken(JSON.stringify(head), `${needed.slice(0, -1)},${claims}}`).split('.')
  const signature = sign('sha256', Buffer.from(`${first}.${second}`), { key: EC.privateKey, dsaEncoding: 'ieee-p1363' })
  return `${first}.${second}.${signature.toString('base64url')}`
}
