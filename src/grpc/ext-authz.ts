/**
 * Envoy's external authorization, `envoy.service.auth.v3.Authorization/Check`: the request about a request, and what
 * its response says. Field numbers are those of `external_auth.proto`, `attribute_context.proto` and `base.proto`.
 */
import { MAX_MESSAGE_DEPTH, MessageWriter, readMessage, textOf } from './protobuf.ts'

export const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check'

export interface CheckSubject {
  readonly id: string
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly host: string
  readonly scheme: string
  /** Bytes of the body; -1 = not known. */
  readonly size: number
  readonly protocol: string
  /** Fields of one name are joined. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly clientAddress: string
  /** Of the certificate of the client; '' = none. */
  readonly principal: string
  /** Milliseconds since the epoch. */
  readonly time: number
  readonly extensions: readonly (readonly [name: string, value: string])[]
}

export function writeCheckRequest(subject: CheckSubject): Uint8Array {
  const { id, method, path, host, scheme, size, protocol, headers, time } = subject
  const http = new MessageWriter().string(1, id).string(2, method)
  for (const pair of headers) http.message(3, entry(pair))
  http.string(4, path).string(5, host).string(6, scheme).integer(9, size).string(10, protocol)
  const request = new MessageWriter().message(1, timestamp(time)).message(2, http)
  const attributes = new MessageWriter().message(1, source(subject)).message(4, request)
  for (const pair of subject.extensions) attributes.message(10, entry(pair))
  return new MessageWriter().message(1, attributes).finish()
}

function source({ clientAddress, principal }: CheckSubject): MessageWriter {
  const address = new MessageWriter().message(1, new MessageWriter().string(2, clientAddress))
  return new MessageWriter().message(1, address).string(4, principal)
}

function entry([name, value]: readonly [string, string]): MessageWriter {
  return new MessageWriter().string(1, name).string(2, value)
}

function timestamp(time: number): MessageWriter {
  const seconds = Math.floor(time / 1_000)
  return new MessageWriter().integer(1, seconds).integer(2, Math.floor((time - seconds * 1_000) * 1_000_000))
}

export interface HeaderOption {
  /** In lower case. */
  readonly name: string
  readonly value: string
}

export interface CheckResponse {
  /** Of `google.rpc.Status`: 0 lets the request pass. */
  readonly code: number
  readonly denied?: { readonly status: number; readonly headers: readonly HeaderOption[]; readonly body: Uint8Array }
  readonly ok?: {
    readonly headers: readonly HeaderOption[]
    readonly removed: readonly string[]
    readonly responseHeaders: readonly HeaderOption[]
    /** It wants another query than the client's. */
    readonly editsQuery: boolean
  }
  readonly metadata: Readonly<Record<string, unknown>>
}

/** @throws {RangeError} where the bytes are no such message */
export function readCheckResponse(bytes: Uint8Array): CheckResponse {
  const response: { -readonly [key in keyof CheckResponse]: CheckResponse[key] } = { code: 0, metadata: {} }
  for (const { number, bytes: value } of readMessage(bytes))
    if (number === 1) response.code = readCode(value)
    else if (number === 2) response.denied = readDenied(value)
    else if (number === 3) Object.assign(response, readOk(value))
    // An error that the service has found itself, newer than the file that is quoted above.
    else if (number === 5) throw new RangeError('the service says that it failed')
    else if (number === 4 && Object.keys(response.metadata).length === 0) response.metadata = readStruct(value, 0)
  return response
}

/** A negative one is an int32 of ten bytes, and no less an error. */
function readCode(bytes: Uint8Array): number {
  let code = 0
  for (const { number, integer } of readMessage(bytes)) if (number === 1) code = integer
  return code
}

function readDenied(bytes: Uint8Array): NonNullable<CheckResponse['denied']> {
  let status = 403
  let body: Uint8Array = new Uint8Array(0)
  const headers: HeaderOption[] = []
  for (const { number, bytes: value } of readMessage(bytes))
    if (number === 1) {
      for (const { number: of, integer } of readMessage(value)) if (of === 1 && integer !== 0) status = integer
    } else if (number === 2) headers.push(readHeader(value))
    else if (number === 3) body = value
  return { status, headers, body }
}

function readOk(bytes: Uint8Array): Pick<CheckResponse, 'ok'> & Partial<Pick<CheckResponse, 'metadata'>> {
  const headers: HeaderOption[] = []
  const removed: string[] = []
  const responseHeaders: HeaderOption[] = []
  let editsQuery = false
  let metadata: CheckResponse['metadata'] | undefined
  for (const { number, bytes: value } of readMessage(bytes))
    if (number === 2) headers.push(readHeader(value))
    else if (number === 5) removed.push(textOf(value).toLowerCase())
    else if (number === 6) responseHeaders.push(readHeader(value))
    else if (number === 3) metadata = readStruct(value, 0)
    else if (number === 7 || number === 8) editsQuery = true
  const ok = { headers, removed, responseHeaders, editsQuery }
  return metadata === undefined ? { ok } : { ok, metadata }
}

/** `HeaderValueOption` with its `HeaderValue`. */
function readHeader(bytes: Uint8Array): HeaderOption {
  let name = ''
  let value = ''
  for (const { number, bytes: header } of readMessage(bytes)) {
    if (number !== 1) continue
    for (const { number: of, bytes: part } of readMessage(header))
      if (of === 1) name = textOf(part).toLowerCase()
      // Text or raw bytes: fields are kept as Latin-1 characters.
      else if (of === 2 || of === 3) value = Buffer.from(part).toString('latin1')
  }
  return { name, value }
}

/** `google.protobuf.Struct`. */
function readStruct(bytes: Uint8Array, depth: number): Readonly<Record<string, unknown>> {
  if (depth > MAX_MESSAGE_DEPTH) throw new RangeError('metadata is nested too deeply')
  const struct: Record<string, unknown> = Object.create(null)
  for (const { number, bytes: field } of readMessage(bytes)) {
    if (number !== 1) continue
    let name = ''
    let value: unknown = null
    for (const { number: of, bytes: part } of readMessage(field))
      if (of === 1) name = textOf(part)
      else if (of === 2) value = readValue(part, depth + 1)
    struct[name] = value
  }
  return struct
}

function readValue(bytes: Uint8Array, depth: number): unknown {
  let value: unknown = null
  for (const { number, integer, bytes: part } of readMessage(bytes))
    if (number === 2) value = Buffer.from(part).readDoubleLE(0)
    else if (number === 3) value = textOf(part)
    else if (number === 4) value = integer !== 0
    else if (number === 5) value = readStruct(part, depth)
    else if (number === 6) value = readList(part, depth)
  return value
}

function readList(bytes: Uint8Array, depth: number): readonly unknown[] {
  if (depth > MAX_MESSAGE_DEPTH) throw new RangeError('metadata is nested too deeply')
  const list: unknown[] = []
  for (const { number, bytes: part } of readMessage(bytes)) if (number === 1) list.push(readValue(part, depth + 1))
  return list
}
