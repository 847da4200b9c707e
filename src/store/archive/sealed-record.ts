/**
 * Records of an archive, sealed: AES-256-GCM with a key that is derived for each head and each body, so that nobody
 * without the key of the gateway can make, read, cut, mix or move one. What is opened was sealed for this very key:
 * the whole key is authenticated along with the bytes, the name is only a digest of it.
 *
 * ```
 * format 1 · kind 1 · token 16 · pieces 4
 *  │ vary:     sealed vary record
 *  │ response: body bytes 8 · head bytes 4 · salt 16 · sealed head · sealed piece
 * ```
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from 'node:crypto'
import { MAX_HEAD_BYTES, MAX_VARY_BYTES, WHOLE_BYTES } from '../../cache/response-archive.ts'
import { PIECES_AT, PREFIX_BYTES, TOKEN_AT, TOKEN_BYTES } from './records.ts'

/** Of a body; the first is in the record, each other one beside it. */
export const PIECE_BYTES = WHOLE_BYTES
/** Records of another format are none. */
const FORMAT = 1
const KIND = { response: 1, vary: 2 } as const
export const TAG_BYTES = 16
const NONCE_BYTES = 12

const BODY_AT = PREFIX_BYTES
const HEAD_BYTES_AT = BODY_AT + 8
const SALT_AT = HEAD_BYTES_AT + 4
const HEAD_AT = SALT_AT + TOKEN_BYTES

/** Each with a nonce of its own, under the key of its salt. */
const PURPOSE = { head: 0x48, piece: 0x50, vary: 0x56 } as const

/** The keys of one master key. */
export class RecordKeys {
  readonly #names: Uint8Array
  readonly #seals: Uint8Array

  constructor(master: Uint8Array) {
    this.#names = new Uint8Array(hkdfSync('sha256', master, '', 'headgate cache names', 32))
    this.#seals = new Uint8Array(hkdfSync('sha256', master, '', 'headgate cache records', 32))
  }

  /** A digest that nobody without the key can compute: no URL can be looked for among the names. */
  name(identity: Uint8Array): string {
    return createHmac('sha256', this.#names).update(identity).digest('base64url')
  }

  key(salt: Uint8Array): Uint8Array {
    return createHmac('sha256', this.#seals).update(salt).digest()
  }
}

/** The whole of what a record is for: with lengths, so that two different ones are never the same bytes. */
export function identityOf(...parts: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.allocUnsafe(parts.reduce((sum, { length }) => sum + 4 + length, 0))
  let at = 0
  for (const part of parts) {
    at = bytes.writeUInt32BE(part.length, at)
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

export interface RecordBody {
  readonly token: Uint8Array
  readonly bytes: number
}

/** A response as it stands in its record; its pieces are still sealed. */
export interface OpenedResponse {
  readonly kind: 'response'
  readonly head: Buffer
  readonly body: RecordBody
  /** How many lie beside it. */
  readonly pieces: number
  /** The one in the record. */
  readonly sealedPiece: Uint8Array
}

export interface OpenedVary {
  readonly kind: 'vary'
  readonly token: Uint8Array
  readonly vary: Buffer
}

export const piecesOf = (bodyBytes: number): number => Math.max(0, Math.ceil(bodyBytes / PIECE_BYTES) - 1)

export function sealVary(keys: RecordKeys, identity: Uint8Array, token: Uint8Array, vary: Uint8Array): Buffer {
  const prefix = prefixBytes(KIND.vary, token, 0)
  return Buffer.concat([prefix, seal(keys.key(token), PURPOSE.vary, 0, [identity, prefix], vary)])
}

/** @param salt new for each head, as a head may be replaced while its body stays */
export function sealResponse(
  keys: RecordKeys,
  identity: Uint8Array,
  {
    head,
    salt,
    body,
    sealedPiece,
  }: {
    readonly head: Uint8Array
    readonly salt: Uint8Array
    readonly body: RecordBody
    readonly sealedPiece: Uint8Array
  },
): Buffer {
  const front = Buffer.alloc(HEAD_AT)
  prefixBytes(KIND.response, body.token, piecesOf(body.bytes)).copy(front)
  front.writeDoubleBE(body.bytes, BODY_AT)
  front.writeUInt32BE(head.length, HEAD_BYTES_AT)
  front.set(salt, SALT_AT)
  return Buffer.concat([front, seal(keys.key(salt), PURPOSE.head, 0, [identity, front], head), sealedPiece])
}

/** @param key of the token */
export function sealPiece(
  key: Uint8Array,
  identity: Uint8Array,
  { token, bytes }: RecordBody,
  index: number,
  piece: Uint8Array,
): Buffer {
  return seal(key, PURPOSE.piece, index, [identity, bodyBytes(token, bytes)], piece)
}

/** @returns undefined: it is cut, foreign, of another version or for another key */
export function openPiece(
  key: Uint8Array,
  identity: Uint8Array,
  { token, bytes }: RecordBody,
  index: number,
  sealed: Uint8Array,
): Buffer | undefined {
  const length = Math.min(PIECE_BYTES, bytes - index * PIECE_BYTES)
  if (sealed.length !== length + TAG_BYTES) return undefined
  return unseal(key, PURPOSE.piece, index, [identity, bodyBytes(token, bytes)], sealed)
}

/** @returns undefined: it is cut, foreign, of another version or for another key */
export function openRecord(
  keys: RecordKeys,
  identity: Uint8Array,
  record: Uint8Array,
): OpenedResponse | OpenedVary | undefined {
  if (record.length < PREFIX_BYTES || record[0] !== FORMAT) return undefined
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.length)
  // A copy: what it was read into may be used again.
  const token = new Uint8Array(bytes.subarray(TOKEN_AT, TOKEN_AT + TOKEN_BYTES))
  const pieces = bytes.readUInt32BE(PIECES_AT)
  if (record[1] === KIND.response) return openResponse(keys, identity, bytes, token, pieces)
  if (record[1] !== KIND.vary || pieces !== 0 || record.length > PREFIX_BYTES + MAX_VARY_BYTES + TAG_BYTES)
    return undefined
  const prefix = bytes.subarray(0, PREFIX_BYTES)
  const vary = unseal(keys.key(token), PURPOSE.vary, 0, [identity, prefix], bytes.subarray(PREFIX_BYTES))
  return vary === undefined ? undefined : { kind: 'vary', token, vary }
}

function openResponse(
  keys: RecordKeys,
  identity: Uint8Array,
  record: Buffer,
  token: Uint8Array,
  pieces: number,
): OpenedResponse | undefined {
  if (record.length < HEAD_AT) return undefined
  const bytes = record.readDoubleBE(BODY_AT)
  const headBytes = record.readUInt32BE(HEAD_BYTES_AT)
  if (!Number.isSafeInteger(bytes) || bytes < 0 || headBytes > MAX_HEAD_BYTES || piecesOf(bytes) !== pieces)
    return undefined
  const pieceAt = HEAD_AT + headBytes + TAG_BYTES
  if (record.length !== pieceAt + Math.min(bytes, PIECE_BYTES) + TAG_BYTES) return undefined
  const key = keys.key(record.subarray(SALT_AT, HEAD_AT))
  const front = record.subarray(0, HEAD_AT)
  const head = unseal(key, PURPOSE.head, 0, [identity, front], record.subarray(HEAD_AT, pieceAt))
  if (head === undefined) return undefined
  return { kind: 'response', head, body: { token, bytes }, pieces, sealedPiece: record.subarray(pieceAt) }
}

function prefixBytes(kind: number, token: Uint8Array, pieces: number): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix[0] = FORMAT
  prefix[1] = kind
  prefix.set(token, TOKEN_AT)
  prefix.writeUInt32BE(pieces, PIECES_AT)
  return prefix
}

function bodyBytes(token: Uint8Array, bytes: number): Buffer {
  const text = Buffer.alloc(TOKEN_BYTES + 8)
  text.set(token)
  text.writeDoubleBE(bytes, TOKEN_BYTES)
  return text
}

function nonceOf(purpose: number, index: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce[0] = purpose
  nonce.writeUInt32BE(index, NONCE_BYTES - 4)
  return nonce
}

function seal(
  key: Uint8Array,
  purpose: number,
  index: number,
  about: readonly Uint8Array[],
  plain: Uint8Array,
): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonceOf(purpose, index))
  for (const part of about) cipher.setAAD(part)
  const text = cipher.update(plain)
  cipher.final()
  return Buffer.concat([text, cipher.getAuthTag()])
}

function unseal(
  key: Uint8Array,
  purpose: number,
  index: number,
  about: readonly Uint8Array[],
  sealed: Uint8Array,
): Buffer | undefined {
  const end = sealed.length - TAG_BYTES
  if (end < 0) return undefined
  const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(purpose, index), { authTagLength: TAG_BYTES })
  for (const part of about) decipher.setAAD(part)
  decipher.setAuthTag(sealed.subarray(end))
  const plain = decipher.update(sealed.subarray(0, end))
  try {
    decipher.final()
    return plain
  } catch {
    return undefined
  }
}
