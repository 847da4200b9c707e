/** What is asked about a password, and what comes back: between workers and the thread that owns such checks. */
import type { Milliseconds } from '../lib/clock.ts'

export interface PasswordQuestion {
  /** The namespace that waits, and whose wrong passwords these are. */
  readonly owner: string
  /** What the password is for: wrong ones of one Secret do not count for another. */
  readonly scope: string
  /** Network of the client. */
  readonly client: string
  /** Whose password it would be: what is known of one name shortens no answer about another. */
  readonly name: string
  /** Of {@link parsePasswordHash}. */
  readonly hash: string
  readonly password: string
  /** The hash is not that of the user, whom nobody knows: the answer is `wrong`, and takes as long as any other. */
  readonly decoy: boolean
}

export type PasswordAnswer =
  | { readonly result: 'right' | 'wrong' }
  /** Too many were wrong. */
  | { readonly result: 'limited'; readonly retryAfter: Milliseconds }
  /** It cannot be checked now. `detail`: why, for the access log. */
  | { readonly result: 'unavailable'; readonly detail: string }

export interface PasswordChecks {
  /** Of a secret text, by which it can be found again in this thread and not be guessed from a dump of its memory. */
  digest(text: string): string
  check(question: PasswordQuestion): Promise<PasswordAnswer>
}
