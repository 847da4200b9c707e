/** What an Ingress asks for and does not get: for its Events, since an Ingress has no conditions. */
import { CLASS_ANNOTATION, type Ingress } from '../api/ingress.ts'

export interface IngressNote {
  readonly reason: 'AnnotationsIgnored' | 'PathTakenLiterally' | 'CertificateNotServed'
  /** What it means here and what to do. */
  readonly message: string
}

/** Prefixes of annotations by which other controllers are told what to do, besides everything below `ingress.kubernetes.io`. */
const CONTROLLERS: ReadonlySet<string> = new Set([
  'nginx.org',
  'nginx.com',
  'haproxy.org',
  'haproxy.com',
  'haproxy-ingress.github.io',
  'konghq.com',
  'traefik.io',
  'projectcontour.io',
  'ingress.cilium.io',
  'ingress.gcp.kubernetes.io',
  'networking.gke.io',
  'cloud.google.com',
  'getambassador.io',
  'zalando.org',
  'voyager.appscode.com',
])

/** More than these are counted, not told. */
const TOLD = 8

/** Annotations that ask another controller for something; those of certificate issuers, DNS and deployment tools are not meant for us. */
export function foreignAnnotations({ metadata }: Ingress): string[] {
  return Object.keys(metadata.annotations ?? {})
    .filter((key) => key !== CLASS_ANNOTATION && isForeign(key))
    .sort()
}

function isForeign(key: string): boolean {
  if (key.startsWith('kubernetes.io/ingress.')) return true
  const slash = key.indexOf('/')
  if (slash === -1) return false
  const prefix = key.slice(0, slash)
  return CONTROLLERS.has(prefix) || prefix === 'ingress.kubernetes.io' || prefix.endsWith('.ingress.kubernetes.io')
}

/** Characters that a path in normal form may hold and that other controllers take for more than themselves. */
const LOOKS_LIKE_A_PATTERN = /[()[\]{}^$|\\?+*]/

export function ingressNotes(ingress: Ingress, certificatesServed = false): IngressNote[] {
  const notes: IngressNote[] = []
  const annotations = foreignAnnotations(ingress)
  if (annotations.length > 0) {
    const message = `Nothing is done about ${some(annotations)}: they are for another controller; say it with a Route instead, or remove them.`
    notes.push({ reason: 'AnnotationsIgnored', message })
  }
  const literal = new Set<string>()
  for (const { http } of ingress.spec.rules)
    for (const { path, pathType } of http?.paths ?? [])
      if (LOOKS_LIKE_A_PATTERN.test(pathType === 'ImplementationSpecific' ? path.replace(/\/\*$/, '') : path))
        literal.add(path)
  if (literal.size > 0) {
    const message = `${some([...literal].sort())} is taken as it stands, not as a pattern; for a regular expression write a Route.`
    notes.push({ reason: 'PathTakenLiterally', message })
  }
  if (!certificatesServed && ingress.spec.tls.length > 0) {
    const message =
      'Its certificates are not served: this version has no TLS yet; its hosts are served on every listener.'
    notes.push({ reason: 'CertificateNotServed', message })
  }
  return notes
}

function some(texts: readonly string[]): string {
  const more = texts.length - TOLD
  return texts.slice(0, TOLD).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
