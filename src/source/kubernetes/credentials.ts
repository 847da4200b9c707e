/**
 * How the API server is reached, and as whom. It may change at any time; whoever asks for access asks again for every
 * request.
 */

/** What decides about a connection. Another value of any of these needs other connections. */
export interface TlsMaterial {
  /** PEM; none = the system's. */
  readonly ca?: string
  /** PEM, of the client. */
  readonly cert?: string
  readonly key?: string
  /** The name that the server's certificate must hold, where it is not the host of the address. */
  readonly servername?: string
  /** False only where a kubeconfig says `insecure-skip-tls-verify`. */
  readonly rejectUnauthorized?: boolean
}

export interface Access {
  /** `https://10.96.0.1:443`, perhaps with a path below which the API is. */
  readonly server: string
  readonly tls: TlsMaterial
  /** An HTTP proxy in between. */
  readonly proxy?: string
  /** Who we are, by tokens: never logged. */
  readonly headers: Readonly<Record<string, string>>
}

export interface Credentials {
  /**
   * As it is now; cheap as long as nothing is due to be read again.
   *
   * @throws {Error} when nothing usable was ever found; later the last good one stays
   */
  access(): Promise<Access>
  /** The server does not know who this is: the next `access()` looks again, however short the last look is ago. */
  refused(access: Access): void
}

/** A server that asks for nothing, or for what never changes. */
export class FixedCredentials implements Credentials {
  readonly #access: Access

  constructor(server: string, headers: Readonly<Record<string, string>> = {}, tls: TlsMaterial = {}) {
    this.#access = { server, tls, headers }
  }

  access(): Promise<Access> {
    return Promise.resolve(this.#access)
  }

  refused(): void {}
}
