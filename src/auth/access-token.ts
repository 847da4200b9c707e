/** Access tokens of an issuer of ours, in the form of RFC 9068: signed by its newest key, verified by all of them. */
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { decodeProtectedHeader, errors, type JWTPayload, jwtVerify, SignJWT } from 'jose'
import type { Milliseconds } from '../lib/clock.ts'
import { readTokenHead } from './compact-token.ts'
import {
  publishedSet,
  readSigningKeys,
  type SigningKey,
  type SigningKeys,
  signerAt,
  verificationKeysOf,
} from './signing-keys.ts'
import type { VerificationKey } from './verification-keys.ts'

export interface AccessTokenClaims {
  readonly subject: string
  readonly client: string
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
  /** `jti`. */
  readonly id: string
}

/** Of one Secret, as a worker has it. */
export class TokenSigner {
  readonly #keys: SigningKeys
  readonly #verify: readonly VerificationKey[]
  readonly #private = new Map<string, KeyObject>()
  /** A JSON Web Key Set. */
  readonly published: Uint8Array

  /** @param content as {@link readSigningKeys} takes it */
  constructor(content: string) {
    this.#keys = readSigningKeys(content)
    this.#verify = verificationKeysOf(this.#keys)
    this.published = Buffer.from(publishedSet(this.#keys))
  }

  /** @param now milliseconds since the epoch */
  sign(issuer: string, claims: AccessTokenClaims, life: Milliseconds, now: number): Promise<string> {
    const signer = signerAt(this.#keys, now)
    const { subject, client, scopes, audiences, id } = claims
    const seconds = Math.floor(now / 1_000)
    return new SignJWT({
      ...{ iss: issuer, sub: subject, aud: audiences.length === 1 ? audiences[0]! : [...audiences] },
      ...{ exp: seconds + Math.floor(life / 1_000), iat: seconds, jti: id, client_id: client },
      ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
    })
      .setProtectedHeader({ alg: signer.algorithm, kid: signer.id, typ: 'at+jwt' })
      .sign(this.#privateKey(signer))
  }

  /** @returns undefined for what is no token of this issuer that is good now */
  async verify(token: string, issuer: string, now: number): Promise<JWTPayload | undefined> {
    const head = readTokenHead(token)
    const key = this.#verify.find(({ id, algorithms }) => id === head?.keyId && algorithms.includes(head!.algorithm))
    if (head === undefined || key === undefined || decodeProtectedHeader(token).typ !== 'at+jwt') return undefined
    try {
      const options = { issuer, algorithms: [head.algorithm], currentDate: new Date(now) }
      return (await jwtVerify(token, key.key, { ...options, requiredClaims: ['exp', 'iss', 'aud', 'jti'] })).payload
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined
      throw error
    }
  }

  #privateKey({ id, pem }: SigningKey): KeyObject {
    let key = this.#private.get(id)
    if (key === undefined) this.#private.set(id, (key = createPrivateKey(pem)))
    return key
  }
}
