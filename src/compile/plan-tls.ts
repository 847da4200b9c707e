/** What a Route states of the TLS of its hostnames, in the form of the snapshot. */
import type { Route, RouteTls } from '../api/route.ts'
import { parseDuration } from '../lib/quantity.ts'
import { contentId } from '../policy/contents.ts'
import { CA_SECRET, CRL_SECRET } from '../policy/secret-types.ts'
import { certificateRef, type HostTls, type TlsOptions, tlsOptions } from '../snapshot/host-tls.ts'
import { digestOf } from './policies.ts'

/** @param before returned when it is equal */
export function planTls({ metadata, spec }: Route, before: HostTls | undefined): HostTls | undefined {
  const { tls } = spec
  if (tls === undefined) return undefined
  const { namespace } = metadata
  const content: Omit<HostTls, 'key'> = {
    namespace,
    mode: tls.mode,
    certificates: (tls.certificates ?? []).map(({ secretName, namespace: of = namespace }) =>
      certificateRef(of, secretName, of === namespace ? undefined : namespace),
    ),
    http: tls.http,
    ...(tls.hsts === undefined ? {} : { hsts: hstsValue(tls.hsts) }),
    options: optionsOf(tls, namespace),
  }
  const key = digestOf(JSON.stringify(content))
  return before?.key === key ? before : { key, ...content }
}

function optionsOf({ minVersion, clientCertificate }: RouteTls, namespace: string): TlsOptions {
  const version = minVersion === 'TLS1.3' ? 'TLSv1.3' : 'TLSv1.2'
  if (clientCertificate === undefined) return tlsOptions(version)
  const partOf = ({ type, key }: { readonly type: string; readonly key: string }, name: string): string =>
    contentId({ kind: 'Secret', namespace, name, key, type })
  const { mode, caSecretName, crlSecretName } = clientCertificate
  const crl = crlSecretName === undefined ? undefined : { crl: partOf(CRL_SECRET, crlSecretName) }
  return tlsOptions(version, { mode, ca: partOf(CA_SECRET, caSecretName), ...crl })
}

/** RFC 6797 §6.1. */
function hstsValue({ maxAge, includeSubDomains, preload }: NonNullable<RouteTls['hsts']>): string {
  const seconds = Math.floor(parseDuration(maxAge) / 1000)
  return `max-age=${seconds}${includeSubDomains ? '; includeSubDomains' : ''}${preload ? '; preload' : ''}`
}
