import type { Fields } from './fields.ts'

/** A response head, from the upstream or made here. */
export interface ResponseHead {
  status: number
  readonly fields: Fields
  /** Bytes of the body to come, undefined when not known in advance. */
  bodyLength: number | undefined
}
