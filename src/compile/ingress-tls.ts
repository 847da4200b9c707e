/**
 * `tls` of an Ingress as TLS of its hosts. An entry that lists a host is for it; else one that lists the wildcard over
 * it; else those that list none. Several of one kind are several certificates of the host, such as RSA and ECDSA.
 */
import type { Ingress } from '../api/ingress.ts'
import type { HttpMode, RouteMatch, RouteTls } from '../api/route.ts'

/** As many as a Route may name for its hostnames. */
export const MAX_CERTIFICATES = 16

/** Names of Secrets by host; an entry without one stands for the default certificate. */
export interface IngressCertificates {
  readonly byHost: ReadonlyMap<string, ReadonlySet<string>>
  /** Undefined where no entry is without hosts. */
  readonly ofAll: ReadonlySet<string> | undefined
}

export function ingressCertificates({ spec }: Ingress): IngressCertificates {
  const byHost = new Map<string, Set<string>>()
  let ofAll: Set<string> | undefined
  for (const { hosts, secretName } of spec.tls) {
    for (const host of hosts) {
      const known = byHost.get(host.toLowerCase())
      if (known === undefined) byHost.set(host.toLowerCase(), new Set(secretName ? [secretName] : []))
      else if (secretName) known.add(secretName)
    }
    if (hosts.length > 0) continue
    ofAll ??= new Set()
    if (secretName) ofAll.add(secretName)
  }
  return { byHost, ofAll }
}

/** @returns undefined where no entry is for the host: then a wildcard of its namespace may have TLS for it */
export function tlsOfIngressHost({ byHost, ofAll }: IngressCertificates, host: string): RouteTls | undefined {
  const names = byHost.get(host) ?? byHost.get(`*${host.slice(host.indexOf('.'))}`) ?? ofAll
  if (names === undefined) return undefined
  const certificates = [...names].slice(0, MAX_CERTIFICATES).map((secretName) => ({ secretName }))
  return {
    mode: 'Terminate',
    ...(certificates.length === 0 ? {} : { certificates }),
    http: 'Redirect',
    minVersion: 'TLS1.2',
  }
}

const CHALLENGES = '/.well-known/acme-challenge'

/**
 * Who issues certificates asks for the answers of a solver (RFC 8555 §8.3) in clear text, while TLS of the host may not
 * work yet.
 */
export function httpModeOfPath({ value }: RouteMatch['path']): HttpMode | undefined {
  return value === CHALLENGES || value.startsWith(`${CHALLENGES}/`) ? 'Serve' : undefined
}
