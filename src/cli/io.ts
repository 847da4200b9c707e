/** Where a command writes. Handed in, so that tests read what a user would. */
export interface CommandIo {
  /** Standard output: what was asked for. */
  out(text: string): void
  /** Standard error: what went wrong. */
  err(text: string): void
}
