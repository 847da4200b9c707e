/** The contract of the access log, implemented by log/access-line.ts. */

/** The record of one exchange. One object is reused for all: it must be read before `write` returns. */
export interface AccessRecord {
  /** When the request began, milliseconds since the Unix epoch; 0: the moment of writing. */
  time: number
  /** Request id. */
  id: string
  /** The client's address after trusted proxies. */
  client: string
  /** Name of the listener. */
  listener: string
  method: string
  host: string
  /** As matched, in normal form, or as received where it came to no match; without the query. */
  path: string
  /**
   * Without `?`; undefined when the target had none. Its text is logged only where settings say so: queries carry
   * secrets.
   */
  query: string | undefined
  /** `HTTP/1.1`. */
  protocol: string
  /** 0 when no response could be sent. */
  status: number
  /** Of a gRPC call; -1 when the request was none, or no status was sent. */
  grpcStatus: number
  /** Of the closed list in lib/reason.ts; empty when nothing went wrong. */
  reason: string
  /** Details besides the reason; empty when the reason is sufficient. */
  detail: string
  /** Why it passed, where it might not have; empty for most. */
  note: string
  /** What would have denied it, were it not for `dryRun`; empty where nothing would. */
  dryRun: string
  /** What became of it in the cache of its rule; empty where that has none. */
  cache: string
  /** Who the credential belongs to; empty where the gateway has no name for that. */
  consumer: string
  /** `namespace/name`; empty when no rule matched. The same for the next three. */
  route: string
  rule: string
  backend: string
  /** `address:port` of the last attempt. */
  endpoint: string
  /** Attempts; 0 when nothing was sent upstream. */
  attempts: number
  /** Milliseconds from the first byte of the head to the end of the response. */
  duration: number
  /** Milliseconds from the start of the last attempt to the end of its response; -1 when there was none. */
  upstreamDuration: number
  /** Bytes of the request body as received, and of the response body as sent. */
  bytesIn: number
  bytesOut: number
  /** Value of User-Agent; empty when not sent. Logged only where settings say so. */
  userAgent: string
  /** Of a record that comes again: to be filled by the log. Null: it does not. */
  kept: KeptLine | null
}

/** What a log has made of a record that comes again, alike but for time, id, client and duration. */
export interface KeptLine {
  /** Whose it is; null: nobody's yet. */
  log: AccessLog | null
  /** Behind the client. */
  rest: Buffer
  /** Offset of the duration in it. */
  durationAt: number
}

export interface AccessLog {
  /** Must not throw, and keeps nothing of the record but in what it is given for that. */
  write(record: AccessRecord): void
  /**
   * A record like the one that `kept` was filled for. Must not throw.
   *
   * @param time milliseconds since the Unix epoch
   * @param id in ASCII
   * @returns false: it is to be written as a whole
   */
  again(kept: KeptLine, client: string, time: number, duration: number, id: Uint8Array): boolean
}
