/** What a worker gets of `cors`. */
export interface CorsPlan {
  readonly allowOrigins: readonly string[]
  readonly allowMethods: readonly string[]
  /** Lower case. */
  readonly allowHeaders: readonly string[]
  readonly exposeHeaders: readonly string[]
  readonly allowCredentials: boolean
  /** Seconds; absent: the browser decides. */
  readonly maxAge?: number
}
