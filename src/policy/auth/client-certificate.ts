/**
 * The method `clientCertificate`: the certificate that the client has shown in the handshake of its connection is its
 * credential. The listener has verified it, and ends the connection when it would not be accepted any more.
 */
import type { ClientCertificate } from '../../message/client-certificate.ts'
import { looseName } from '../../message/fields.ts'
import type { Exchange } from '../exchange.ts'
import type { AuthMethod, Identity, Judgement } from './method.ts'
import type { CertificateField, ClientCertificatePlan } from './plan.ts'

/** By the certificate of a connection, for each plan: made with the first of its requests. */
type Identities = WeakMap<ClientCertificate, Identity>

export class ClientCertificateMethod implements AuthMethod {
  readonly from = []
  readonly kept = false
  readonly claimsToHeaders = []
  readonly scheme = 'ClientCertificate'
  readonly wants = 'a client certificate'
  readonly states: readonly string[]
  readonly #plan: ClientCertificatePlan
  readonly #identities: Identities = new WeakMap()

  constructor(plan: ClientCertificatePlan) {
    this.#plan = plan
    this.states = plan.toHeaders.map(({ header }) => looseName(header))
  }

  claims(): boolean {
    return false
  }

  judge(): Judgement {
    return { fault: 'invalid' }
  }

  judgeExchange({ clientCertificate }: Exchange): Identity | undefined {
    if (clientCertificate === null) return undefined
    let identity = this.#identities.get(clientCertificate)
    if (identity === undefined)
      this.#identities.set(clientCertificate, (identity = identityOf(clientCertificate, this.#plan)))
    return identity
  }
}

const FIELDS: Readonly<Record<CertificateField, keyof ClientCertificate>> = {
  Subject: 'subject',
  SubjectAltName: 'san',
  Fingerprint: 'fingerprint',
}

function identityOf(certificate: ClientCertificate, { toHeaders }: ClientCertificatePlan): Identity {
  const { subject, san, fingerprint } = certificate
  const names = alternativeNames(san)
  return {
    claims: { subject, san: names, fingerprint },
    consumer: consumerOf(certificate, names),
    ambient: true,
    requestFields: toHeaders.flatMap(({ field, header }) => {
      const value = certificate[FIELDS[field]]
      return value === '' ? [] : [[header, value] as const]
    }),
  }
}

const URI = 'URI:'

/**
 * A workload is known by its one URI (SPIFFE X.509-SVID §2), and many of them have one subject; people and servers are
 * known by their subject.
 */
export function consumerOf(
  { subject, san, fingerprint }: ClientCertificate,
  names: readonly string[] = alternativeNames(san),
): string {
  const uris = names.filter((name) => name.startsWith(URI))
  if (uris.length === 1) return uris[0]!.slice(URI.length)
  if (subject !== '') return subject
  return names[0] ?? `sha256:${fingerprint}`
}

/** @param san as OpenSSL writes it in Node; a name with a comma or a quote stands in quotes as in JSON */
export function alternativeNames(san: string): readonly string[] {
  return Array.from(san.matchAll(/([^:,"]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g), ([, type, value]) => {
    return `${type}:${value!.startsWith('"') ? unquoted(value!) : value}`
  })
}

function unquoted(text: string): string {
  try {
    return String(JSON.parse(text))
  } catch {
    // A character that is no printable ASCII was escaped in another way: the name stays as it is written.
    return text
  }
}
