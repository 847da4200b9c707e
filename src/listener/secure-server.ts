/** A `tls.Server` that listens nowhere: it is given sockets whose ClientHello asks for its options and certificates. */
import { constants, createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { TlsOptions } from '../snapshot/host-tls.ts'
import { SESSION_LIFETIME } from '../tls/ticket-keys.ts'
import type { ClientTrust } from './client-trust.ts'
import { SECURE_PROTOCOLS } from './secure-protocols.ts'
import { type ServerCertificate, textOf } from './server-certificates.ts'

/**
 * Forward secrecy and authenticated encryption alone. AES comes first, which processors do by themselves; a client that
 * prefers ChaCha20 gets it.
 */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')
/**
 * Cheap ones, of which every client knows one. A client chooses among them, and P-521 or finite fields would take a
 * server several times as long as the client that asks for them.
 */
const GROUPS = 'X25519MLKEM768:X25519:P-256:P-384'
const SECURE_OPTIONS =
  constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_CIPHER_SERVER_PREFERENCE | constants.SSL_OP_PRIORITIZE_CHACHA

export interface ServerParts {
  readonly options: TlsOptions
  /** At most one of each type of key, from which the handshake takes what the client knows. */
  readonly certificates: readonly ServerCertificate[]
  /** Null: no client certificate is asked for. */
  readonly trust: ClientTrust | null
  /** The OCSP response for the first of the certificates, in DER; asked at each handshake that wants it. */
  readonly staple: () => Uint8Array | undefined
  /** What a session must have begun with to be resumed. */
  readonly scope: string
  readonly ticketKey: Buffer
}

export interface ServerEvents {
  /** A handshake is complete. */
  secured(server: SecureServer, socket: TLSSocket): void
  failed(error: Error, socket: TLSSocket): void
}

/** What OpenSSL takes for each byte of PEM of authorities and lists, parsed. */
const PARSED = 7

export class SecureServer {
  readonly options: TlsOptions
  readonly trust: ClientTrust | null
  readonly server: Server
  /** Memory of authorities and lists. */
  readonly trustBytes: number
  /** It is given up: who keeps it lets it go. */
  released: () => void = () => {}
  /** It is given up, and its connections have ended. */
  unused: () => void = () => {}
  /** Those that keep the memory of authorities and lists. */
  readonly #sockets = new Set<Socket>()
  #givenUp = false

  /** @throws what OpenSSL says of a chain or key that it cannot use */
  constructor(parts: ServerParts, events: ServerEvents) {
    const { options, certificates, trust } = parts
    this.options = options
    this.trust = trust
    this.trustBytes = trust === null ? 0 : PARSED * (trust.ca.length + trust.crl.length)
    this.server = createServer({
      cert: certificates.map(({ chain }) => textOf(chain)),
      key: certificates.map(({ key }) => textOf(key)),
      // An empty list spares the system's authorities, which nobody here verifies by.
      ca: trust === null || trust.ca === '' ? [] : trust.ca,
      ...(trust === null || trust.crl === '' ? {} : { crl: trust.crl }),
      requestCert: trust !== null,
      rejectUnauthorized: options.clientCertificate?.mode === 'Require',
      minVersion: options.minVersion,
      ciphers: CIPHERS,
      ecdhCurve: GROUPS,
      honorCipherOrder: true,
      secureOptions: SECURE_OPTIONS,
      ALPNProtocols: [...SECURE_PROTOCOLS.keys()],
      ticketKeys: parts.ticketKey,
      sessionTimeout: SESSION_LIFETIME / 1_000,
      sessionIdContext: createHash('sha256').update(parts.scope).digest('hex').slice(0, 32),
    })
    this.server.on('secureConnection', (socket) => events.secured(this, socket))
    this.server.on('tlsClientError', (error, socket) => events.failed(error, socket))
    if (parts.staple() !== undefined)
      this.server.on('OCSPRequest', (_certificate, _issuer, done: (error: null, response?: Buffer) => void) => {
        const staple = parts.staple()
        if (staple === undefined) done(null)
        else done(null, Buffer.from(staple))
      })
  }
  /** @param socket its ClientHello is not read yet */
  accept(socket: Socket): void {
    if (this.trustBytes > 0) {
      this.#sockets.add(socket)
      socket.once('close', () => {
        this.#sockets.delete(socket)
        this.#settle()
      })
    }
    this.server.emit('connection', socket)
  }

  /** No further connection is given to it. Those that are open go on. */
  giveUp(): void {
    if (!this.#givenUp) this.released()
    this.#givenUp = true
    this.#settle()
  }

  get givenUp(): boolean {
    return this.#givenUp
  }

  destroyConnections(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
    this.#settle()
  }

  #settle(): void {
    if (this.#givenUp && this.#sockets.size === 0) this.unused()
  }
}
