/** Why a call of Redis has no reply. */
export type RedisFaultKind =
  /** The settings name none, or the Secret with its password is not there. */
  | 'absent'
  /** It did not answer before, and is not asked until it does. */
  | 'away'
  /** As many calls as may be are in flight. */
  | 'full'
  /** No reply within the deadline. */
  | 'timeout'
  /** The connection broke. */
  | 'broken'
  /** It replied with an error. */
  | 'refused'

/**
 * Rejected within the deadline of the client, always. What was sent may run later than that: on a connection that
 * stands still commands wait in its buffers, so a script must be right whenever it runs, or carry a time of its own.
 */
export class RedisFault extends Error {
  override readonly name = 'RedisFault'
  readonly kind: RedisFaultKind
  /** Whether the command may have run, or still run. */
  readonly mayHaveRun: boolean

  constructor(kind: RedisFaultKind, message: string) {
    super(message)
    this.kind = kind
    this.mayHaveRun = kind === 'timeout' || kind === 'broken'
  }
}
