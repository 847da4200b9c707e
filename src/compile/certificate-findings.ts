/** What clients find of the certificates of a Route's hostnames: their time, and whether they name the hostnames. */
import type { HostTls } from '../snapshot/host-tls.ts'
import { namesCover } from '../tls/certificate-names.ts'
import type { HostState, RouteState } from './compile-state.ts'
import type { CertificateFindings, ConditionFault } from './conditions.ts'
import { nodeId } from './reference-graph.ts'
import type { ResourceSet, SecretSummary } from './resource-set.ts'

/** Listed in messages. */
const MAX_LISTED = 4

/**
 * Of the hostnames that the Route's namespace owns and that end TLS here; those of other namespaces are not its
 * business.
 *
 * @returns undefined where there are none
 */
export function certificateFindings(
  { plan, hostnames, outcomes }: RouteState,
  hosts: { get(hostname: string): HostState | undefined },
  resources: ResourceSet,
): CertificateFindings | undefined {
  const groups = new Map<string, { readonly tls: HostTls; readonly hostnames: string[] }>()
  for (const hostname of hostnames) {
    const effective = hosts.get(hostname)?.tls
    if (effective === undefined || effective.tls.namespace !== plan.namespace) continue
    if (effective.tls.mode !== 'Terminate' || outcomes.get(hostname)?.permission === undefined) continue
    const { tls } = effective
    const group = groups.get(tls.key)
    if (group === undefined) groups.set(tls.key, { tls, hostnames: [hostname] })
    else group.hostnames.push(hostname)
  }
  if (groups.size === 0) return undefined
  const findings = new Findings(resources)
  for (const { tls, hostnames: named } of groups.values()) findings.look(tls, named)
  return findings
}

class Findings implements CertificateFindings {
  readonly faults: ConditionFault[] = []
  readonly soon: string[] = []
  readonly remarks: string[] = []
  readonly #resources: ResourceSet

  constructor(resources: ResourceSet) {
    this.#resources = resources
  }

  look(tls: HostTls, hostnames: readonly string[]): void {
    const named = this.#certificatesOf(tls)
    const usable = named.flatMap(({ secret, sharedWith }) => {
      const summary = this.#usable(secret, sharedWith)
      return summary?.certificate === undefined ? [] : [{ what: `Secret ${secret}`, summary }]
    })
    for (const { what, summary } of usable) {
      this.#time(`the certificate in ${what}`, summary)
      if (summary.certificate!.remark !== undefined) this.remarks.push(`${what}: ${summary.certificate!.remark}`)
    }
    if (usable.length > 0) this.#names(usable, hostnames)
    else if (named.length === 0) this.#none(hostnames)
    this.#clients(tls)
  }

  #certificatesOf({ certificates, namespace }: HostTls) {
    if (certificates.length > 0)
      return certificates.map(({ secret }) => ({
        secret,
        sharedWith: secret.startsWith(`${namespace}/`) ? undefined : namespace,
      }))
    const { defaultCertificate } = this.#resources.settings.tls ?? {}
    if (defaultCertificate === undefined) return []
    return [{ secret: `${defaultCertificate.namespace}/${defaultCertificate.secretName}`, sharedWith: undefined }]
  }

  /** What cannot be used is told by `ResolvedRefs`. */
  #usable(secret: string, sharedWith: string | undefined): SecretSummary | undefined {
    const summary = this.#resources.payloads.get(nodeId('Secret', secret))
    if (summary === undefined || (sharedWith !== undefined && summary.sharedWith?.has(sharedWith) !== true))
      return undefined
    return summary.secret
  }

  #time(what: string, summary: SecretSummary): void {
    const { faults, soon } = timeFindings(what, summary)
    this.faults.push(...faults)
    this.soon.push(...soon)
  }

  #names(
    certificates: readonly { readonly what: string; readonly summary: SecretSummary }[],
    hostnames: readonly string[],
  ) {
    const all = new Set(certificates.flatMap(({ summary }) => summary.certificate!.names))
    const uncovered = hostnames.filter((hostname) => !namesCover(all, hostname))
    if (uncovered.length === 0) return
    const what = certificates.map((one) => one.what)
    const commonNameOnly = certificates.every(({ summary }) => summary.certificate!.commonNameOnly)
    const names = commonNameOnly
      ? 'has no subject alternative name, and clients do not read its common name'
      : `is for ${some([...all].sort()) || 'no DNS name'}`
    const message = `the certificate in ${some(what)} ${names}, so clients refuse it for ${some(uncovered)}; have it issued for ${uncovered.length === 1 ? 'that name' : 'these names'}`
    this.#fault('HostnameNotCovered', message)
  }

  #none(hostnames: readonly string[]): void {
    const message = `there is no certificate for ${some(hostnames)}: tls names none, and the settings have no tls.defaultCertificate; add one of the two`
    this.#fault('NoCertificate', message)
  }

  #clients({ options }: HostTls): void {
    const { ca, crl } = options.clientCertificate ?? {}
    const bundle = ca === undefined ? undefined : this.#ofContent(ca)
    const lists = crl === undefined ? undefined : this.#ofContent(crl)
    if (bundle?.summary.validity === 'Expired' || bundle?.summary.validity === 'ExpiresSoon')
      this.#time(`a certificate of the authorities in ${bundle.what}`, bundle.summary)
    if (lists === undefined) return
    const { what, summary } = lists
    if (summary.validity === 'Expired') {
      const due = timeText(summary.notAfter!)
      this.#fault(
        'RevocationListExpired',
        `a list in ${what} had to be replaced by ${due}, so clients are refused; replace it`,
      )
    }
    const known = new Set(summary.issuers)
    const without = bundle?.summary.authorities?.filter((subject) => !known.has(subject)).length ?? 0
    if (bundle === undefined || without === 0 || summary.issuers === undefined) return
    const message = `${what} has no list of ${without} of the authorities in ${bundle.what}, so clients with certificates of these are refused; add a list of each`
    this.#fault('RevocationListIncomplete', message)
  }

  /** @param id see `contentId` */
  #ofContent(id: string) {
    const secret = id.split(' ')[1]!
    const summary = this.#resources.payloads.get(nodeId('Secret', secret))
    return summary?.secret && { what: `Secret ${secret}`, summary: summary.secret }
  }

  #fault(reason: ConditionFault['reason'], message: string): void {
    this.faults.push({ reason, message })
  }
}

/** Of one Secret of TLS. */
export function timeFindings(
  what: string,
  { validity, notBefore = 0, notAfter = 0 }: SecretSummary = {},
): Pick<CertificateFindings, 'faults' | 'soon'> {
  switch (validity) {
    case 'Expired':
      return {
        faults: [{ reason: 'CertificateExpired', message: `${what} ended on ${timeText(notAfter)}; renew it` }],
        soon: [],
      }
    case 'NotYetValid': {
      const message = `${what} begins on ${timeText(notBefore)}; wait, or have it issued anew`
      return { faults: [{ reason: 'CertificateNotYetValid', message }], soon: [] }
    }
    case 'ExpiresSoon':
      return { faults: [], soon: [`${what} ends on ${timeText(notAfter)}; renew it`] }
    default:
      return { faults: [], soon: [] }
  }
}

function timeText(time: number): string {
  return new Date(time).toISOString().replace('.000Z', 'Z')
}

function some(texts: readonly string[]): string {
  const more = texts.length > MAX_LISTED ? ` and ${texts.length - MAX_LISTED} more` : ''
  return `${texts.slice(0, MAX_LISTED).join(', ')}${more}`
}
