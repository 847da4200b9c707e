/**
 * Reads the ClientHello at the start of a TLS connection (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2): what the choice of a
 * backend or of a certificate needs, before anything is answered. It is as strict as OpenSSL, which reads the same
 * bytes afterwards: a message that both accept means the same to both.
 */

/** Alerts (RFC 8446 §6) by which a handshake that cannot be served is refused. */
export const ALERT = {
  unexpectedMessage: 10,
  recordOverflow: 22,
  handshakeFailure: 40,
  illegalParameter: 47,
  decodeError: 50,
  protocolVersion: 70,
  internalError: 80,
  unrecognizedName: 112,
} as const

export type Alert = (typeof ALERT)[keyof typeof ALERT]

/** Bytes of the first flight that are read for a ClientHello: post-quantum key shares and tickets take some 3 KiB. */
export const MAX_HELLO_BYTES = 64 * 1024
/** RFC 8446 §5.1. */
const MAX_RECORD = 16_384
const RECORD_HEADER = 5
const MESSAGE_HEADER = 4
const HANDSHAKE = 22
const CLIENT_HELLO = 1
/** What a name in DNS can have at most; OpenSSL refuses longer ones. */
const MAX_NAME = 255
/** Protocols that a client may offer; browsers offer two. */
const MAX_PROTOCOLS = 64
/** First bytes of a ticket of OpenSSL's: which key it was made with. */
const TICKET_NAME = 16

export interface ClientHello {
  /** As sent; '' = none. Not checked to be a hostname. */
  readonly serverName: string
  /** Protocols in the client's order; empty = none offered. */
  readonly protocols: readonly string[]
  /** Name of the key that the session ticket was made with; null = the client does not resume by a ticket. */
  readonly ticketName: Buffer | null
  /** The newest version offered, `0x0304` is TLS 1.3. */
  readonly version: number
  /** Whether a certificate with an ECDSA key can be used. */
  readonly verifiesEcdsa: boolean
}

/** Why the bytes are no ClientHello, and what the client is told. */
export class HelloFault {
  readonly alert: Alert
  /** For a person. */
  readonly detail: string
  /** The first byte is not the one of a handshake: the client may speak another protocol. */
  readonly notTls: boolean

  constructor(alert: Alert, detail: string, notTls = false) {
    this.alert = alert
    this.detail = detail
    this.notTls = notTls
  }
}

/** Collects a ClientHello from whatever pieces the network delivers. */
export class ClientHelloReader {
  /** Behind what has come there may be room for more, so that single bytes are not copied again and again. */
  #store: Buffer = EMPTY
  #bytes: Buffer = EMPTY
  /** Start of the record that is not read yet. */
  #at = 0
  /** Where the fragments of the message lie, without the headers of their records: start and end of each. */
  readonly #fragments: number[] = []
  #collected = 0
  /** Of the whole message; 0 = not known yet. */
  #length = 0

  /** Everything that has come, to be handed on unchanged. */
  get bytes(): Buffer {
    return this.#bytes
  }

  /** @returns null: more bytes are needed */
  push(bytes: Buffer): ClientHello | HelloFault | null {
    this.#append(bytes)
    if (this.#bytes.length > 0 && this.#bytes[0] !== HANDSHAKE)
      return new HelloFault(ALERT.unexpectedMessage, 'the client does not speak TLS', true)
    while (this.#bytes.length - this.#at >= RECORD_HEADER) {
      const end = this.#recordEnd()
      if (end instanceof HelloFault) return end
      if (end > this.#bytes.length) break
      const done = this.#fragment(this.#at + RECORD_HEADER, end)
      if (done !== null) return done
      this.#at = end
    }
    return this.#bytes.length >= MAX_HELLO_BYTES ? tooLarge() : null
  }

  /** The first of a record's bytes decide at once: nothing is waited for that cannot be served. */
  #recordEnd(): number | HelloFault {
    const bytes = this.#bytes
    const at = this.#at
    if (bytes[at] !== HANDSHAKE) return new HelloFault(ALERT.unexpectedMessage, 'the ClientHello is not complete')
    if (bytes[at + 1] !== 3) return new HelloFault(ALERT.protocolVersion, 'a record of an unknown version')
    const length = bytes.readUInt16BE(at + 3)
    if (length > MAX_RECORD) return new HelloFault(ALERT.recordOverflow, 'a record larger than 16 KiB')
    if (length === 0) return new HelloFault(ALERT.unexpectedMessage, 'an empty record')
    return at + RECORD_HEADER + length
  }

  #fragment(start: number, end: number): ClientHello | HelloFault | null {
    this.#fragments.push(start, end)
    this.#collected += end - start
    if (this.#length === 0) {
      if (this.#collected < MESSAGE_HEADER) return null
      const message = this.#message()
      if (message[0] !== CLIENT_HELLO) return new HelloFault(ALERT.unexpectedMessage, 'not a ClientHello')
      this.#length = MESSAGE_HEADER + message.readUIntBE(1, 3)
      if (this.#length > MAX_HELLO_BYTES) return tooLarge()
    }
    if (this.#collected < this.#length) return null
    return parseClientHello(this.#message().subarray(MESSAGE_HEADER, this.#length))
  }

  /** What has come of it. */
  #message(): Buffer {
    const fragments = this.#fragments
    const parts: Buffer[] = []
    for (let i = 0; i < fragments.length; i += 2) parts.push(this.#bytes.subarray(fragments[i]!, fragments[i + 1]!))
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  }

  #append(bytes: Buffer): void {
    const length = this.#bytes.length
    if (length === 0) {
      this.#store = bytes
      this.#bytes = bytes
      return
    }
    const total = length + bytes.length
    if (total > this.#store.length) {
      this.#store = Buffer.allocUnsafe(Math.max(total, 2 * length))
      this.#bytes.copy(this.#store)
    }
    bytes.copy(this.#store, length)
    this.#bytes = this.#store.subarray(0, total)
  }
}

const EMPTY = Buffer.alloc(0)

function tooLarge(): HelloFault {
  return new HelloFault(ALERT.illegalParameter, `a ClientHello larger than ${MAX_HELLO_BYTES / 1024} KiB`)
}

/** A part of a message, read from its start. What is not there is noted, and the caller asks once. */
class Vector {
  readonly #bytes: Buffer
  #at = 0
  short = false

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  number(size: 1 | 2): number {
    if (this.left < size) return this.#fail()
    const value = this.#bytes.readUIntBE(this.#at, size)
    this.#at += size
    return value
  }

  take(length: number): Buffer {
    if (this.left < length) {
      this.#fail()
      return EMPTY
    }
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** A length of so many bytes, and what it counts. */
  counted(size: 1 | 2): Buffer {
    return this.take(this.number(size))
  }

  /** Nothing is missing, and nothing is left over. */
  get complete(): boolean {
    return !this.short && this.left === 0
  }

  #fail(): number {
    this.short = true
    this.#at = this.#bytes.length
    return 0
  }
}

function malformed(detail: string): HelloFault {
  return new HelloFault(ALERT.decodeError, detail)
}

/** TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, …AES_256_GCM_SHA384, …CHACHA20_POLY1305_SHA256. */
const ECDSA_CIPHERS: ReadonlySet<number> = new Set([0xc02b, 0xc02c, 0xcca9])
/** ecdsa_secp256r1_sha256, …secp384r1_sha384, …secp521r1_sha512. */
const ECDSA_SIGNATURES: ReadonlySet<number> = new Set([0x0403, 0x0503, 0x0603])

const SERVER_NAME = 0
const SIGNATURE_ALGORITHMS = 13
const PROTOCOLS = 16
const SESSION_TICKET = 35
const PRE_SHARED_KEY = 41
const SUPPORTED_VERSIONS = 43

/** @param body without the header of the message */
export function parseClientHello(body: Buffer): ClientHello | HelloFault {
  const hello = new Vector(body)
  const legacyVersion = hello.number(2)
  hello.take(32)
  const session = hello.counted(1)
  const ciphers = hello.counted(2)
  const compression = hello.counted(1)
  const extensions = hello.left === 0 ? EMPTY : hello.counted(2)
  if (!hello.complete || session.length > 32 || ciphers.length === 0 || ciphers.length % 2 === 1)
    return malformed('a ClientHello with broken lengths')
  if (compression.length === 0) return malformed('a ClientHello without compression methods')
  const found = new Extensions(legacyVersion, hasEcdsaCipher(ciphers))
  const fault = found.read(new Vector(extensions))
  return fault ?? found
}

function hasEcdsaCipher(ciphers: Buffer): boolean {
  for (let i = 0; i < ciphers.length; i += 2) if (ECDSA_CIPHERS.has(ciphers.readUInt16BE(i))) return true
  return false
}

class Extensions implements ClientHello {
  serverName = ''
  protocols: readonly string[] = []
  ticketName: Buffer | null = null
  version: number
  readonly #ecdsaCipher: boolean
  #ecdsaSignature = false

  constructor(legacyVersion: number, ecdsaCipher: boolean) {
    this.version = Math.min(legacyVersion, 0x0303)
    this.#ecdsaCipher = ecdsaCipher
  }

  get verifiesEcdsa(): boolean {
    // The ciphers of TLS 1.3 say nothing of signatures.
    return this.#ecdsaSignature && (this.#ecdsaCipher || this.version >= 0x0304)
  }

  read(list: Vector): HelloFault | null {
    const seen = new Set<number>()
    while (list.left > 0) {
      const type = list.number(2)
      const body = list.counted(2)
      if (list.short) return malformed('extensions with broken lengths')
      if (seen.has(type)) return new HelloFault(ALERT.illegalParameter, `extension ${type} stands twice`)
      seen.add(type)
      const fault = this.#extension(type, body)
      if (fault !== null) return fault
    }
    return null
  }

  #extension(type: number, body: Buffer): HelloFault | null {
    switch (type) {
      case SERVER_NAME:
        return this.#serverName(new Vector(body))
      case PROTOCOLS:
        return this.#protocols(new Vector(body))
      case SUPPORTED_VERSIONS:
        return this.#versions(new Vector(body))
      case SIGNATURE_ALGORITHMS:
        return this.#signatures(new Vector(body))
      case SESSION_TICKET:
        if (body.length >= TICKET_NAME) this.ticketName ??= body.subarray(0, TICKET_NAME)
        return null
      case PRE_SHARED_KEY:
        return this.#preSharedKey(new Vector(body))
      default:
        return null
    }
  }

  /** RFC 6066 §3: a list, of one name since no other type of name was ever defined. */
  #serverName(body: Vector): HelloFault | null {
    const list = new Vector(body.counted(2))
    const type = list.number(1)
    const name = list.counted(2)
    if (!body.complete || !list.complete || type !== 0) return malformed('a broken list of server names')
    if (name.length > MAX_NAME) return new HelloFault(ALERT.unrecognizedName, 'a server name that is too long')
    if (name.includes(0)) return new HelloFault(ALERT.unrecognizedName, 'a server name with a NUL')
    this.serverName = name.toString('latin1')
    return null
  }

  /** RFC 7301 §3.1. */
  #protocols(body: Vector): HelloFault | null {
    const list = new Vector(body.counted(2))
    const protocols: string[] = []
    if (!body.complete || list.left === 0) return malformed('a broken list of protocols')
    while (list.left > 0) {
      const name = list.counted(1)
      if (list.short || name.length === 0) return malformed('a broken list of protocols')
      if (protocols.length < MAX_PROTOCOLS) protocols.push(name.toString('latin1'))
    }
    this.protocols = protocols
    return null
  }

  #signatures(body: Vector): HelloFault | null {
    const list = new Vector(body.counted(2))
    if (!body.complete || list.left === 0 || list.left % 2 === 1) return malformed('a broken list of signatures')
    while (list.left > 0) if (ECDSA_SIGNATURES.has(list.number(2))) this.#ecdsaSignature = true
    return null
  }

  #versions(body: Vector): HelloFault | null {
    const list = new Vector(body.counted(1))
    if (!body.complete || list.left === 0 || list.left % 2 === 1) return malformed('a broken list of versions')
    let newest = 0
    while (list.left > 0) {
      const version = list.number(2)
      // RFC 8701: values such as 0x0a0a and 0x7a7a are there to be ignored.
      if (version <= 0x0304 && version > newest) newest = version
    }
    if (newest > 0) this.version = newest
    return null
  }

  /** RFC 8446 §4.2.11: tickets of earlier connections, of which OpenSSL tries each. */
  #preSharedKey(body: Vector): HelloFault | null {
    const identities = new Vector(body.counted(2))
    const binders = body.counted(2)
    const first = identities.counted(2)
    identities.take(4)
    if (!body.complete || identities.short || binders.length === 0) return malformed('a broken pre-shared key')
    if (first.length >= TICKET_NAME) this.ticketName = first.subarray(0, TICKET_NAME)
    return null
  }
}
