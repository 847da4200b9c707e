/**
 * Which connections can carry the requests of a Backend: its protocol, TLS and PROXY header as one string. Endpoints
 * are sent with the key of the Backend that they are meant for, and are used with no other.
 */
import type { BackendConfig } from './snapshot.ts'

/** Equal keys: a connection made for the one can carry requests of the other. */
export function connectionKey({ protocol, proxyProtocol, tls }: ConnectionOptions): string {
  if (tls === undefined && proxyProtocol === undefined) return protocol
  if (tls === undefined) return `${protocol} ${proxyProtocol}`
  const { ca, serverName, serviceName, clientCertificate, insecureSkipVerify } = tls
  const client = clientCertificate && [clientCertificate.secret, clientCertificate.chain, clientCertificate.key]
  return JSON.stringify([protocol, proxyProtocol, ca, serverName, serviceName, client, insecureSkipVerify])
}

export type ConnectionOptions = Pick<BackendConfig, 'protocol' | 'proxyProtocol' | 'tls'>
