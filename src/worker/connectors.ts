/**
 * Chooses how the endpoints of a Backend are connected to: by its protocol, TLS and PROXY header. The only place that
 * knows all connectors.
 */
import type { TimerClock } from '../lib/clock.ts'
import type { Contents } from '../policy/contents.ts'
import { opaqueConnector } from '../proxy/opaque-connector.ts'
import { tcpConnector } from '../proxy/tcp-connector.ts'
import { type SecuredProtocol, TlsConnector, type UpstreamTlsState } from '../proxy/tls-connector.ts'
import { UpstreamContexts } from '../proxy/upstream-contexts.ts'
import { H1Session } from '../proxy/upstream-h1.ts'
import { UpstreamSessions } from '../proxy/upstream-sessions.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import type { Connector } from '../transport/connector.ts'

const HTTP1: SecuredProtocol = {
  alpn: 'http/1.1',
  withoutAlpn: true,
  begin: (connection, owner) => new H1Session(connection, owner),
}

export class Connectors {
  readonly #clock: TimerClock
  #tls: UpstreamTlsState | null = null
  /** Each connects to one Backend, as one version of it says. */
  readonly #made = new WeakMap<BackendConfig, Connector>()

  constructor(clock: TimerClock) {
    this.#clock = clock
  }

  /** The same for connections that carry no requests, whose bytes are the client's own. */
  tunnelsOf(_plan: BackendConfig): Connector {
    return opaqueConnector
  }

  /**
   * The connector for the next connection of a Backend.
   *
   * @param contents where the bytes of its Secrets are found, always the same
   */
  of(plan: BackendConfig, contents: Contents): Connector {
    if (plan.protocol === 'HTTP') return tcpConnector
    let connector = this.#made.get(plan)
    if (connector === undefined) this.#made.set(plan, (connector = this.#make(plan, contents)))
    return connector
  }

  #make({ id: backend, protocol, tls }: BackendConfig, contents: Contents): Connector {
    switch (protocol) {
      case 'HTTPS':
        return new TlsConnector({ backend, tls: tls!, protocol: HTTP1 }, this.#stateOfTls(contents))
      default:
        throw new TypeError(`${backend}: protocol ${protocol} is refused by validation (api/not-implemented.ts)`)
    }
  }

  /** Made when the first Backend asks for TLS. */
  #stateOfTls(contents: Contents): UpstreamTlsState {
    this.#tls ??= {
      contexts: new UpstreamContexts(contents, this.#clock),
      sessions: new UpstreamSessions(this.#clock.wall),
    }
    return this.#tls
  }
}
