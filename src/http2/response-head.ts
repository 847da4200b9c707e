/** What a response's head says about the body behind it, and what a codec has to add or take out (RFC 9110 §8.6). */
import type { ResponseHead } from '../message/head.ts'

export interface ResponseFraming {
  /** Nothing follows the head. */
  bodyless: boolean
  /** Bytes of the body; -1 = not stated. */
  owed: number
  /** A content-length to be added; -1 = none. */
  addedLength: number
  /** There is a date. */
  dated: boolean
  /** Index of the priority field (RFC 9218 §5), -1 where there is none. */
  priority: number
}

/** One to be filled in again and again. */
export function responseFraming(): ResponseFraming {
  return { bodyless: false, owed: -1, addedLength: -1, dated: false, priority: -1 }
}

/** @param into filled in; fields that may not be there are removed from the head */
export function frameResponseHead(head: ResponseHead, headOnly: boolean, into: ResponseFraming): void {
  const { status, fields, bodyLength } = head
  const { added } = fields
  let lengthField = -1
  into.dated = false
  into.priority = -1
  for (let i = 0; i < fields.count; i++) {
    if (fields.isRemoved(i)) continue
    const length = fields.nameLength(i)
    if (length === 14 && fields.nameIs(i, 'content-length')) lengthField = i
    else if (length === 4 && fields.nameIs(i, 'date')) into.dated = true
    else if (length === 8 && fields.nameIs(i, 'priority')) into.priority = i
  }
  if (added !== null) for (let i = 0; i < added.length; i += 2) if (added[i] === 'date') into.dated = true
  const empty = status === 204 || status === 304
  into.bodyless = headOnly || empty
  into.owed = -1
  into.addedLength = -1
  if (into.bodyless) {
    if (lengthField < 0 && !empty && bodyLength !== undefined && bodyLength > 0) into.addedLength = bodyLength
    if (status === 204 && lengthField >= 0) fields.removeAt(lengthField)
  } else if (bodyLength === undefined) {
    if (lengthField >= 0) fields.removeAt(lengthField)
  } else {
    into.owed = bodyLength
    if (lengthField < 0) into.addedLength = bodyLength
  }
}
