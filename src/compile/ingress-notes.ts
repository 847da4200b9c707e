/** Notes on parts of an Ingress that have no effect. */
import type { Note } from '../api/condition.ts'
import { CLASS_ANNOTATION, type Ingress } from '../api/ingress.ts'
import { pathOf } from './ingress.ts'
import { ingressCertificates, MAX_CERTIFICATES } from './ingress-tls.ts'
import { CATCH_ALL } from './plan.ts'

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

export function ingressNotes(ingress: Ingress): Note[] {
  const notes: Note[] = []
  const annotations = foreignAnnotations(ingress)
  if (annotations.length > 0) {
    const message = `Nothing is done about ${some(annotations)}: they are for another controller; say it with a Route instead, or remove them.`
    notes.push({ reason: 'AnnotationsIgnored', message, path: ['metadata', 'annotations', annotations[0]!] })
  }
  notes.push(...pathNotes(ingress))
  notes.push(...certificateNotes(ingress))
  return notes
}

/** Certificates for hosts that are not in its rules, and more than a host may have. */
function certificateNotes(ingress: Ingress): Note[] {
  const { rules, tls } = ingress.spec
  if (tls.length === 0) return []
  const hosts = new Set(rules.map(({ host }) => host || CATCH_ALL))
  const wildcards = new Set(Array.from(hosts, (host) => `*${host.slice(host.indexOf('.'))}`))
  const { byHost, ofAll } = ingressCertificates(ingress)
  const covered = (host: string): boolean => hosts.has(host) || wildcards.has(host)
  const notes: Note[] = []
  const without = tls.flatMap((entry, i) =>
    entry.hosts.filter((host) => !covered(host.toLowerCase())).map((host) => ({ host, i })),
  )
  if (without.length > 0) {
    const message = `No certificate is served for ${some([...new Set(without.map(({ host }) => host))].sort())}: no rule of this Ingress has the host; add one, or remove it from tls.`
    notes.push({ reason: 'CertificateNotServed', message, path: ['spec', 'tls', without[0]!.i, 'hosts'] })
  }
  if (ofAll !== undefined && [...hosts].every((host) => host === CATCH_ALL)) {
    const message =
      'An entry of tls without hosts is for the hosts of the rules, and they have none; name the host in a rule. Hosts that nobody names get the default certificate.'
    notes.push({ reason: 'CertificateNotServed', message, path: ['spec', 'tls'] })
  }
  const many = [...byHost].filter(([, names]) => names.size > MAX_CERTIFICATES).map(([host]) => host)
  if (many.length > 0 || (ofAll?.size ?? 0) > MAX_CERTIFICATES) {
    const of = many.length > 0 ? some(many.sort()) : 'its hosts'
    const message = `Only the first ${MAX_CERTIFICATES} certificates of ${of} are served; name each host with its own certificate.`
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
