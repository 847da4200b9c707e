/** Where Redis is, as threads get it of the settings: with names of contents instead of secrets. */
export interface RedisLocation {
  readonly mode: 'Single' | 'Sentinel' | 'Cluster'
  /** `host:port`, IPv6 in brackets. */
  readonly addresses: readonly string[]
  readonly masterName?: string
  /** Of every key. */
  readonly keyPrefix: string
  /** Content ids; absent: nobody is signed in. */
  readonly secret?: {
    readonly username: string
    readonly password: string
    readonly sentinelUsername: string
    readonly sentinelPassword: string
  }
  readonly tls?: {
    /** Content id. */
    readonly ca?: string
    readonly serverName?: string
  }
}
