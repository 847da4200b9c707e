/**
 * The content of a QUERY as a part of a key, with what describes it (RFC 10008 §2.7), without which its bytes mean
 * nothing. That is whatever an origin may take for it: each `Content-*` of the request, also in another spelling
 * (`Content_Type`).
 */
import { type Fields, looseName } from '../message/fields.ts'
import { KeyPart, type KeyWriter } from './key.ts'

const DESCRIBING = 'content-'
/** The content says so itself, however it was framed. */
const LENGTH = 'content-length'

/** Behind selectors and identity. */
export function writeContent(writer: KeyWriter, request: Fields, content: Uint8Array): void {
  for (const name of namesIn(request)) {
    writer.text(KeyPart.ContentField, name)
    for (const value of request.all(name)) writer.text(KeyPart.Value, value)
  }
  writer.raw(KeyPart.Content, content)
}

/** As they are spelled, in lower case, in one order. */
function namesIn(request: Fields): readonly string[] {
  const names = new Set<string>()
  request.forEach((name) => {
    if (name !== LENGTH && looseName(name).startsWith(DESCRIBING)) names.add(name)
  })
  return [...names].sort()
}
