/**
 * Chooses how the endpoints of a Backend are connected to: by its protocol, TLS and PROXY header. The only place that
 * knows all connectors.
 */
import type { Contents } from '../policy/contents.ts'
import { opaqueConnector } from '../proxy/opaque-connector.ts'
import { tcpConnector } from '../proxy/tcp-connector.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import type { Connector } from '../transport/connector.ts'

export class Connectors {
  /** The same for connections that carry no requests, whose bytes are the client's own. */
  tunnelsOf(_plan: BackendConfig): Connector {
    return opaqueConnector
  }

  /**
   * The connector for the next connection of a Backend.
   *
   * @param contents where the bytes of its Secrets are found
   */
  of({ id, protocol }: BackendConfig, _contents: Contents): Connector {
    switch (protocol) {
      case 'HTTP':
        return tcpConnector
      default:
        throw new TypeError(`${id}: protocol ${protocol} is refused by validation (api/not-implemented.ts)`)
    }
  }
}
