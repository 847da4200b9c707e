/** Output of a command, injected for tests. */
export interface CommandIo {
  /** Standard output: the result. */
  out(text: string): void
  /** Standard error: errors and warnings. */
  err(text: string): void
}
