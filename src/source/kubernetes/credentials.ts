/**
 * The address of the API server and the identity used there. Both may change at any time, so callers ask for access
 * before every request.
 */

/** The TLS parameters of a connection. A change of any of them requires new connections. */
export interface TlsMaterial {
  /** PEM; absent = the system's CAs. */
  readonly ca?: string
  /** The client's certificate, PEM. */
  readonly cert?: string
  readonly key?: string
  /** The name that the server's certificate must carry, where it differs from the host of the address. */
  readonly servername?: string
  /** False only with `insecure-skip-tls-verify` in a kubeconfig. */
  readonly rejectUnauthorized?: boolean
}

export interface Access {
  /** `https://10.96.0.1:443`, optionally with a path prefix. */
  readonly server: string
  readonly tls: TlsMaterial
  /** URL of an HTTP proxy. */
  readonly proxy?: string
  /** Carry tokens: never logged. */
  readonly headers: Readonly<Record<string, string>>
}

export interface Credentials {
  /**
   * Returns the current access; cheap while nothing is due to be read again.
   *
   * @throws {Error} when nothing usable has been found yet; later the last usable access stays
   */
  access(): Promise<Access>
  /** The server responded 401 to this access: the next `access()` reads again, however recent the last read is. */
  unauthorized(access: Access): void
}

/** Credentials that never change, or none. */
export class StaticCredentials implements Credentials {
  readonly #access: Access

  constructor(server: string, headers: Readonly<Record<string, string>> = {}, tls: TlsMaterial = {}) {
    this.#access = { server, tls, headers }
  }

  access(): Promise<Access> {
    return Promise.resolve(this.#access)
  }

  unauthorized(): void {}
}
