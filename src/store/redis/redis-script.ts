import { hash } from 'node:crypto'

/** A script that Redis runs as one step. It is sent by its digest, and whole where a server does not know it yet. */
export class RedisScript {
  readonly source: string
  /** SHA-1, as EVALSHA wants it. */
  readonly digest: string

  constructor(source: string) {
    this.source = source
    this.digest = hash('sha1', source, 'hex')
  }
}
