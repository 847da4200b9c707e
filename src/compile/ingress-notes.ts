/** Notes on parts of an Ingress that have no effect. */
import type { Note } from '../api/condition.ts'
import { CLASS_ANNOTATION, type Ingress } from '../api/ingress.ts'
import { pathOf } from './ingress.ts'

/**
 * Annotation prefixes of other controllers, besides everything below `ingress.kubernetes.io`.
 */
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

/** Further entries are counted, not listed. */
const MAX_LISTED = 8

/**
 * Annotations that configure other ingress controllers. Those of certificate issuers, DNS and deployment tools do not
 * count.
 */
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

/** Characters that are literal in a path, but that other controllers interpret as a pattern. */
const LOOKS_LIKE_A_PATTERN = /[()[\]{}^$|\\?+*]/

export function ingressNotes(ingress: Ingress, certificatesServed = false): Note[] {
  const notes: Note[] = []
  const annotations = foreignAnnotations(ingress)
  if (annotations.length > 0) {
    const message = `Nothing is done about ${some(annotations)}: they are for another controller; say it with a Route instead, or remove them.`
    notes.push({ reason: 'AnnotationsIgnored', message, path: ['metadata', 'annotations', annotations[0]!] })
  }
  notes.push(...pathNotes(ingress))
  if (!certificatesServed && ingress.spec.tls.length > 0) {
    const message =
      'Its certificates are not served: this version has no TLS yet; its hosts are served on every listener.'
    notes.push({ reason: 'CertificateNotServed', message, path: ['spec', 'tls'] })
  }
  return notes
}

/** One note per kind of finding, at the first path that has it. */
function pathNotes({ spec }: Ingress): Note[] {
  const literal = new Map<string, Note['path']>()
  const never = new Map<string, Note['path']>()
  for (const [i, { http }] of spec.rules.entries())
    for (const [j, entry] of (http?.paths ?? []).entries()) {
      const { path, pathType } = entry
      const at = ['spec', 'rules', i, 'http', 'paths', j, 'path']
      const match = pathOf(entry)
      if ('fault' in match) {
        const finding = `${path}: ${match.fault}`
        if (!never.has(finding)) never.set(finding, at)
      } else if (LOOKS_LIKE_A_PATTERN.test(pathType === 'ImplementationSpecific' ? path.replace(/\/\*$/, '') : path))
        if (!literal.has(path)) literal.set(path, at)
    }
  const notes: Note[] = []
  const [firstNever] = never.values()
  if (firstNever !== undefined) {
    const message = `No request has the path ${some([...never.keys()].sort(), '; ')}. It is not served; correct it, or match what is meant with a Route.`
    notes.push({ reason: 'PathNeverMatches', message, path: firstNever })
  }
  const [firstLiteral] = literal.values()
  if (firstLiteral !== undefined) {
    const message = `${some([...literal.keys()].sort())} is taken as it stands, not as a pattern; for a regular expression write a Route.`
    notes.push({ reason: 'PathTakenLiterally', message, path: firstLiteral })
  }
  return notes
}

function some(texts: readonly string[], separator = ', '): string {
  const more = texts.length - MAX_LISTED
  return texts.slice(0, MAX_LISTED).join(separator) + (more > 0 ? ` and ${more} more` : '')
}
