/**
 * What an issuer must remember: families of refresh tokens, and marks of what may be used once or has been revoked. It
 * holds positive records alone, so what is not there is not valid; and it never lets go of one that has not ended.
 */
import type { Milliseconds } from '../lib/clock.ts'

/** Whose records: nothing is found under another. */
export interface GrantOwner {
  readonly namespace: string
  readonly issuer: string
}

/** What a family of refresh tokens stands for. */
export interface Grant {
  readonly client: string
  readonly subject: string
  readonly scopes: readonly string[]
  readonly audiences: readonly string[]
  /** Issuer of the assertion that it was given for; empty for a client's own. */
  readonly assertionIssuer: string
}

export interface GrantFamily {
  readonly grant: Grant
  /** Digest of the token that is good. */
  readonly current: string
  /** Of the one before it; empty where there was none. */
  readonly previous: string
  /** Milliseconds since the epoch, by the clock of the store. */
  readonly ends: number
}

/** The token that is presented has got a successor, now or within the grace before. */
export interface Rotated {
  readonly outcome: 'rotated' | 'repeated'
  /** By which the successor is made; of several requests at a time all get the same. */
  readonly nonce: string
}

/** `reused`: an older token than may come, which ends the family. */
export type Rotation = Rotated | { readonly outcome: 'reused' | 'missing' }

export interface RotationRequest {
  readonly family: string
  /** Digest of the token that is presented. */
  readonly presented: string
  readonly next: string
  readonly nonce: string
  /** Of the successor. */
  readonly life: Milliseconds
  /** Within which the token before may come once more. */
  readonly grace: Milliseconds
}

/** Each call is one atomic step. All of them reject with {@link GrantStoreFailure} where it cannot be made. */
export interface GrantStore {
  /** @returns false where there is no room */
  begin(owner: GrantOwner, family: string, grant: Grant, digest: string, life: Milliseconds): Promise<boolean>
  find(owner: GrantOwner, family: string): Promise<GrantFamily | undefined>
  rotate(owner: GrantOwner, request: RotationRequest): Promise<Rotation>
  /** Ends the family. */
  revoke(owner: GrantOwner, family: string): Promise<void>
  /**
   * @param client whose place among the marks it takes, no part of what is marked
   * @returns whether it is the first time; `'full'` where there is no room, so that nobody knows
   */
  mark(owner: GrantOwner, mark: string, client: string, life: Milliseconds): Promise<'first' | 'again' | 'full'>
  isMarked(owner: GrantOwner, mark: string): Promise<boolean>
}

/** It cannot be asked, or has not answered: whether the step was made is not known. */
export class GrantStoreFailure extends Error {
  override readonly name = 'GrantStoreFailure'
}

/** At most so many records; what is beyond is refused, never put in the place of others. */
export interface GrantBounds {
  readonly families: { readonly client: number; readonly namespace: number; readonly all: number }
  readonly marks: { readonly client: number; readonly namespace: number; readonly all: number }
}

/** From so many on, a namespace gets nothing of the last quarter of all. */
const FEW = 10_000

export const GRANT_BOUNDS: GrantBounds = {
  families: { client: 50_000, namespace: 100_000, all: 400_000 },
  marks: { client: 50_000, namespace: 100_000, all: 400_000 },
}

/** Whether one more record has room beside those of all, and of its namespace. */
export function hasRoom(
  all: number,
  ofNamespace: number,
  bounds: { readonly namespace: number; readonly all: number },
) {
  if (ofNamespace >= bounds.namespace || all >= bounds.all) return false
  return ofNamespace < FEW || all < (bounds.all * 3) / 4
}

/** A call of a {@link GrantStore} as a message. */
export type GrantRequest = { readonly owner: GrantOwner } & (
  | {
      readonly call: 'begin'
      readonly family: string
      readonly grant: Grant
      readonly digest: string
      readonly life: Milliseconds
    }
  | { readonly call: 'find' | 'revoke'; readonly family: string }
  | { readonly call: 'rotate'; readonly rotation: RotationRequest }
  | { readonly call: 'mark'; readonly mark: string; readonly client: string; readonly life: Milliseconds }
  | { readonly call: 'isMarked'; readonly mark: string }
)

/** What the call returns, or why it could not be made. */
export type GrantAnswer = { readonly value: unknown } | { readonly failure: string }
