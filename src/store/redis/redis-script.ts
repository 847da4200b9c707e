import { hash } from 'node:crypto'

/** A script that Redis runs as one step. It is sent by its digest, and whole where a server does not know it yet. */
export class RedisScript {
  readonly source: string
  /** SHA-1, as EVALSHA wants it. */
  readonly digest: string
  /** Whether strings of the reply are bytes, not text. */
  readonly bytes: boolean

  constructor(source: string, { bytes = false }: { readonly bytes?: boolean } = {}) {
    this.source = source
    this.digest = hash('sha1', source, 'hex')
    this.bytes = bytes
  }
}

/** Of a key's value or another argument; bytes are sent as they are. */
export type RedisArgument = string | number | Buffer
