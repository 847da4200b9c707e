/**
 * TLS towards the endpoints of a Backend, as plain data. The bytes of Secrets are not here: they reach workers by
 * identity (policy/contents.ts), so that a rotated Secret needs no build.
 */
import type { CertificateRef } from './host-tls.ts'

/** TLS options of a Backend; present exactly where its protocol runs over TLS. */
export interface UpstreamTls {
  /** Content id of the CA bundle (PEM); undefined = the roots that the runtime brings. */
  readonly ca: string | undefined
  /** The name for SNI and for the certificate, in lower case; undefined = see {@link serviceName}. */
  readonly serverName: string | undefined
  /**
   * Without `serverName`: the DNS name from which an endpoint was resolved, or else this one, `NAME.NAMESPACE.svc` of
   * the Backend's Service; undefined = the address of the endpoint, which the certificate must then name.
   */
  readonly serviceName: string | undefined
  readonly clientCertificate: Pick<CertificateRef, 'secret' | 'chain' | 'key'> | undefined
  /** Any certificate is accepted. */
  readonly insecureSkipVerify: boolean
}

/** Whether its connections are made with one of these contents. */
export function usesContents(tls: UpstreamTls | undefined, contents: ReadonlySet<string>): boolean {
  if (tls === undefined) return false
  const { ca, clientCertificate } = tls
  return [ca, clientCertificate?.chain, clientCertificate?.key].some((id) => id !== undefined && contents.has(id))
}
