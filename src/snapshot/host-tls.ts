/**
 * TLS of a hostname as workers need it: resolved by the compiler from the owner's Routes, stored once however many
 * hostnames have it, and referred to by index from the packed record of each hostname.
 */

import { contentId } from '../policy/contents.ts'
import { TLS_SECRET } from '../policy/secret-types.ts'

/** What clear-text requests get: a redirect to https (308), service, or a refusal. */
export type HttpMode = 'Redirect' | 'Serve' | 'Closed'

export interface HostTls {
  /** Digest of everything below; equal for equal values. */
  readonly key: string
  /** The namespace that states it: the owner of the hostname. */
  readonly namespace: string
  /** `Passthrough`: the whole connection goes to the backends of one rule, see `VirtualHost.passthrough`. */
  readonly mode: 'Terminate' | 'Passthrough'
  /** In order of preference; empty = the default certificate of the settings. */
  readonly certificates: readonly CertificateRef[]
  readonly http: HttpMode
  /** Value of Strict-Transport-Security. */
  readonly hsts?: string
  readonly options: TlsOptions
}

/** What a handshake negotiates, apart from certificates. */
export interface TlsOptions {
  /** Names everything below; equal options have equal keys. */
  readonly key: string
  readonly minVersion: TlsVersion
  readonly clientCertificate?: ClientCertificateOptions
}

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3'

export interface ClientCertificateOptions {
  readonly mode: 'Require' | 'Optional'
  /** Content id of the PEM bundle of certificate authorities: see `contentId` of policy/contents.ts. */
  readonly ca: string
  /** Content id of the PEM bundle of revocation lists. */
  readonly crl?: string
}

export function tlsOptions(minVersion: TlsVersion, clientCertificate?: ClientCertificateOptions): TlsOptions {
  if (clientCertificate === undefined) return { key: minVersion, minVersion }
  const { mode, ca, crl = '' } = clientCertificate
  return { key: [minVersion, mode, ca, crl].join('\n'), minVersion, clientCertificate }
}

/** Of hostnames whose owner states none. */
export const DEFAULT_TLS_OPTIONS: TlsOptions = tlsOptions('TLSv1.2')

/** A certificate by the content ids of its parts, whose bytes reach workers apart from tables. */
export interface CertificateRef {
  /** `namespace/name`, for logs and messages. */
  readonly secret: string
  /** Content id of the PEM chain, leaf first. */
  readonly chain: string
  /** Content id of the PEM private key. */
  readonly key: string
  /** Content id of a DER OCSP response; most Secrets have none. */
  readonly ocsp?: string
}

/** @param sharedWith the namespace that uses it, where it is of another */
export function certificateRef(namespace: string, name: string, sharedWith?: string): CertificateRef {
  const { type, certificate, key, ocsp } = TLS_SECRET
  const idOf = (part: string): string =>
    contentId({ kind: 'Secret', namespace, name, key: part, type, ...(sharedWith === undefined ? {} : { sharedWith }) })
  return { secret: `${namespace}/${name}`, chain: idOf(certificate), key: idOf(key), ocsp: idOf(ocsp) }
}

const STRICTNESS: Readonly<Record<HttpMode, number>> = { Serve: 0, Redirect: 1, Closed: 2 }

/**
 * What a rule does with a request in clear text. A hostname that demands client certificates is never served in clear,
 * and only its owner's rules may be laxer than the hostname.
 *
 * @param tls of the hostname
 * @param rule `http` as it states it, `route` as `namespace/name`
 */
export function httpModeOf(
  tls: Pick<HostTls, 'namespace' | 'http' | 'options'> | null,
  { http, route }: { readonly http?: HttpMode; readonly route: string },
): HttpMode {
  if (tls === null) return http ?? 'Serve'
  const stated = http === undefined || isLaxer(http, tls, route) ? tls.http : http
  return stated === 'Serve' && tls.options.clientCertificate?.mode === 'Require' ? 'Redirect' : stated
}

function isLaxer(http: HttpMode, tls: Pick<HostTls, 'namespace' | 'http'>, route: string): boolean {
  return STRICTNESS[http] < STRICTNESS[tls.http] && !route.startsWith(`${tls.namespace}/`)
}
