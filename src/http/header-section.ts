/** A header or trailer section of HTTP/2 as it was decoded: fields, and pseudo-header fields apart from them. */
import { Fields } from '../message/fields.ts'

/** Which pseudo-header fields a section may have (RFC 9113 §8.3): trailers have none. */
export const REQUEST_SECTION = 0
export const RESPONSE_SECTION = 1
export const TRAILER_SECTION = 2

export type SectionKind = typeof REQUEST_SECTION | typeof RESPONSE_SECTION | typeof TRAILER_SECTION

/** To be filled in by a decoder again and again; the fields are new each time. */
export class HeaderSection {
  /**
   * Field lines of HTTP/1.1. The bytes are overwritten by the next section that is decoded in the thread, unless they
   * are {@link lasting}: who keeps the fields calls `detach` on them.
   */
  fields = new Fields()
  lasting = false
  /** Undefined where the section does not have it. */
  method: string | undefined = undefined
  scheme: string | undefined = undefined
  authority: string | undefined = undefined
  path: string | undefined = undefined
  protocol: string | undefined = undefined
  /** 0 where the section has none. */
  status = 0
  /** Why it is malformed or could not be decoded, for the log. */
  fault = ''
  /** It was not read to its end, being many times larger than its limit. */
  excessive = false

  clear(): void {
    this.fields = new Fields()
    this.lasting = false
    this.method = undefined
    this.scheme = undefined
    this.authority = undefined
    this.path = undefined
    this.protocol = undefined
    this.status = 0
    this.fault = ''
    this.excessive = false
  }
}
