/**
 * Refresh tokens: the id of a family and a secret, of which the store has digests alone. The successor of a token is
 * made of the token itself and a number of the store, so that a client whose response was lost gets the same one again
 * while nobody who has read the store can make it.
 */
import { createHmac, hash } from 'node:crypto'

export interface RefreshToken {
  /** As it stands in the token: whoever has it has had a token of the family. */
  readonly familySecret: string
  /** Under which the store has the family; says nothing about {@link familySecret}. */
  readonly family: string
  readonly secret: string
}

/** Bytes of chance in a family's id, in a secret, and in the number that makes a successor. */
export const FAMILY_BYTES = 16
export const SECRET_BYTES = 32

/** The prefix is for scanners of leaked secrets. */
const FORM = /^hgr_([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})$/

/** @returns undefined for what is no refresh token of an issuer of ours */
export function parseRefreshToken(text: string): RefreshToken | undefined {
  const [, familySecret, secret] = FORM.exec(text) ?? []
  if (familySecret === undefined || secret === undefined) return undefined
  return { familySecret, family: familyOf(familySecret), secret }
}

export function writeRefreshToken(familySecret: string, secret: string): string {
  return `hgr_${familySecret}.${secret}`
}

export function familyOf(familySecret: string): string {
  return hash('sha256', familySecret, 'base64url').slice(0, 22)
}

/** What the store has of a secret. */
export function refreshDigest(secret: string): string {
  return hash('sha256', secret, 'base64url')
}

/** @param nonce random, made when the token is rotated */
export function successorOf(secret: string, nonce: string): string {
  return createHmac('sha256', secret).update(`successor ${nonce}`).digest('base64url')
}
