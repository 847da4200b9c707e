/** A worker with a TLS listener in the thread of the test, hostnames with TLS of their own, and clients for it. */
import { once } from 'node:events'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { type CertificateRef, certificateRef, type HostTls, tlsOptions } from '../../src/snapshot/host-tls.ts'
import { InProcess } from './in-process.ts'
import { type InProcessOptions, type Scope, settingsWith } from './test-plane.ts'

export interface TlsRigOptions extends InProcessOptions {
  /** Secret of the default certificate. */
  readonly defaultSecret?: string
}

export class TlsRig extends InProcess {
  readonly #options: TlsRigOptions
  #ticketKey: string | null = null

  constructor(options: TlsRigOptions) {
    super(options)
    this.#options = options
  }

  /** Content id of what ticket keys are derived from. */
  async useTicketKey(ticketKey: string): Promise<void> {
    this.#ticketKey = ticketKey
    await this.listen()
  }

  override async listen(): Promise<void> {
    const { defaultSecret } = this.#options
    const settings = settingsWith(
      [
        { name: 'http', address: '127.0.0.1', port: 0 },
        { name: 'https', address: '127.0.0.2', port: 0, tls: true },
      ],
      this.#options,
    )
    const defaultCertificate = defaultSecret === undefined ? null : certificateRef('test', defaultSecret)
    await this.use({ ...settings, tls: { defaultCertificate, ticketKey: this.#ticketKey } })
    await this.linked
  }

  get tlsPort(): number {
    return this.listeners.ports.get('https')!
  }

  /** Puts a certificate into a Secret; null deletes it. */
  secret(
    name: string,
    issued: { readonly cert: string; readonly key: string } | null,
    ocsp: Buffer | null = null,
  ): CertificateRef {
    const ref = certificateRef('test', name)
    this.plane.messages.accept({
      type: 'contents',
      contents: [
        { id: ref.chain, bytes: issued === null ? null : Buffer.from(issued.cert) },
        { id: ref.key, bytes: issued === null ? null : Buffer.from(issued.key) },
        { id: ref.ocsp!, bytes: ocsp },
      ],
    })
    return ref
  }

  content(id: string, text: string | null): string {
    this.plane.messages.accept({
      type: 'contents',
      contents: [{ id, bytes: text === null ? null : Buffer.from(text) }],
    })
    return id
  }

  /** States TLS for a hostname, with the certificates of these Secrets. */
  host(name: string, secrets: readonly string[], stated: Partial<HostTls> = {}): void {
    this.hostTls.set(name, {
      key: name,
      namespace: 'test',
      mode: 'Terminate',
      certificates: secrets.map((secret) => certificateRef('test', secret)),
      http: 'Serve',
      options: tlsOptions('TLSv1.2'),
      ...stated,
    })
  }

  /** @throws where the handshake fails */
  async handshake(options: ConnectionOptions & { readonly localAddress?: string } = {}): Promise<TLSSocket> {
    const socket = connect({ host: '127.0.0.2', port: this.tlsPort, rejectUnauthorized: false, ...options })
    await once(socket, 'secureConnect')
    return socket
  }

  /** One request on a connection of its own. */
  async fetch(
    options: ConnectionOptions & { readonly hostHeader?: string; readonly localAddress?: string } = {},
  ): Promise<string> {
    const socket = await this.handshake(options)
    return await exchange(
      socket,
      `GET / HTTP/1.1\r\nhost: ${options.hostHeader ?? options.servername}\r\nconnection: close\r\n\r\n`,
    )
  }
}

/** Sends a text and reads to the end. */
export async function exchange(socket: TLSSocket, text: string): Promise<string> {
  socket.write(text)
  let answer = ''
  for await (const bytes of socket) answer += String(bytes)
  return answer
}

export async function tlsRig(scope: Scope, options: TlsRigOptions = {}): Promise<TlsRig> {
  const rig = new TlsRig({ rules: { all: { respond: { statusCode: 200, body: 'served' } } }, ...options })
  await rig.listen()
  scope.after(() => {
    rig.listeners.destroy()
    rig.plane.backends.retain([])
  })
  return rig
}
