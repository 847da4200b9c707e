/** A request that is explained: what filters would find of it, one behind the other, while nothing is done. */
import type { ClientCertificate } from '../message/client-certificate.ts'
import type { ClientOrigin } from '../message/client-origin.ts'
import type { Fields } from '../message/fields.ts'
import type { CredentialNames } from '../pattern/concealed.ts'
import { type Attribute, Attributes, attribute } from './attribute.ts'
import type { DryExchange } from './exchange.ts'
import type { PolicySet } from './policy-set.ts'

/** In a dry run nobody verifies a credential: it is taken for accepted, and what it says is not known. */
export interface AssumedCredential {
  /** Fields that would be stated by it, in lower case. */
  readonly states: ReadonlySet<string>
  /** Where one may be. */
  readonly places: CredentialNames
}

export const ASSUMED_CREDENTIAL = attribute<AssumedCredential>('assumed credential')

/** A copy of a request: `Filter.rehearse` changes it, and nothing else. */
export class DryRun implements DryExchange {
  readonly method: string
  readonly host: string
  readonly authority?: string
  readonly origin: ClientOrigin
  path: string
  readonly originalPath: string
  query: string | undefined
  readonly request: Fields
  readonly clientAddress: string
  readonly trusted: boolean
  readonly clientCertificate: ClientCertificate | null
  readonly listener: string
  readonly id: string
  readonly route: string
  readonly rule: string
  readonly matchedPrefix: number
  readonly policy: PolicySet
  upstreamHost: string | undefined
  readonly upgrade: string | null
  readonly requestBodyLength: number | undefined
  readonly #given: DryExchange
  readonly #attributes = new Attributes()

  constructor(x: DryExchange) {
    this.#given = x
    this.method = x.method
    this.host = x.host
    if (x.authority !== undefined) this.authority = x.authority
    this.origin = x.origin
    this.path = x.path
    this.originalPath = x.originalPath
    this.query = x.query
    this.request = x.request.copy()
    this.clientAddress = x.clientAddress
    this.trusted = x.trusted
    this.clientCertificate = x.clientCertificate
    this.listener = x.listener
    this.id = x.id
    this.route = x.route
    this.rule = x.rule
    this.matchedPrefix = x.matchedPrefix
    this.policy = x.policy
    this.upstreamHost = x.upstreamHost
    this.upgrade = x.upgrade
    this.requestBodyLength = x.requestBodyLength
  }

  get<T>(key: Attribute<T>): T | undefined {
    return this.#attributes.get(key) ?? this.#given.get(key)
  }

  set<T>(key: Attribute<T>, value: T): void {
    this.#attributes.set(key, value)
  }
}
