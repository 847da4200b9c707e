/**
 * Chooses how the endpoints of a Backend are connected to: by its protocol, TLS and PROXY header. The only place that
 * knows all connectors.
 */

import { H1Session } from '../http1/upstream-h1.ts'
import { H2Session } from '../http2/upstream-h2.ts'
import type { TimerClock } from '../lib/clock.ts'
import type { Contents } from '../policy/contents.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import type { Connector } from '../transport/connector.ts'
import type { Timers } from '../transport/timers.ts'
import { H2cConnector } from './h2c-connector.ts'
import { opaqueConnector } from './opaque-connector.ts'
import { tcpConnector } from './tcp-connector.ts'
import { type SecuredProtocol, TlsConnector, type UpstreamTlsState } from './tls-connector.ts'
import { UpstreamContexts } from './upstream-contexts.ts'
import { UpstreamSessions } from './upstream-sessions.ts'

/** What connectors need of the worker. */
export interface ConnectorContext {
  /** The bytes of Secrets. */
  readonly contents: Contents
  readonly timers: Timers
}

const HTTP1: SecuredProtocol = {
  alpn: 'http/1.1',
  withoutAlpn: true,
  expectedCapacity: 1,
  begin(connection, owner) {
    owner.connected(new H1Session(connection, owner))
    return null
  },
}

export class Connectors {
  readonly #clock: TimerClock
  #tls: UpstreamTlsState | null = null
  /** Each connects to one Backend, as one version of it says. */
  readonly #made = new WeakMap<BackendConfig, Connector>()

  constructor(clock: TimerClock) {
    this.#clock = clock
  }

  /** The connector for connections that carry no requests, whose bytes are the client's own. */
  tunnelsOf(_plan: BackendConfig): Connector {
    return opaqueConnector
  }

  /** The connector for the next connection of a Backend. @param context always the same */
  of(plan: BackendConfig, context: ConnectorContext): Connector {
    if (plan.protocol === 'HTTP') return tcpConnector
    let connector = this.#made.get(plan)
    if (connector === undefined) this.#made.set(plan, (connector = this.#make(plan, context)))
    return connector
  }

  #make({ id: backend, protocol, tls }: BackendConfig, context: ConnectorContext): Connector {
    // The protocols over TLS are those that have options for it.
    if (tls === undefined) return protocol === 'HTTP' ? tcpConnector : new H2cConnector(context.timers)
    const secured = protocol === 'HTTPS' ? HTTP1 : http2(context.timers)
    return new TlsConnector({ backend, tls, protocol: secured }, this.#stateOfTls(context.contents))
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

function http2(timers: Timers): SecuredProtocol {
  return {
    alpn: 'h2',
    withoutAlpn: false,
    expectedCapacity: 100,
    begin: (connection, owner, authority) => H2Session.begin(connection, owner, { scheme: 'https', timers, authority }),
  }
}
