/** A request that is explained: what filters would find of it, one behind the other, while nothing is done. */
import type { CredentialNames } from '../pattern/concealed.ts'
import { type Attribute, Attributes, attribute } from './attribute.ts'
import type { DryExchange } from './exchange.ts'

/** In a dry run nobody verifies a credential: it is taken for accepted, and what it says is not known. */
export interface AssumedCredential {
  /** Fields that would be stated by it, in lower case. */
  readonly states: ReadonlySet<string>
  /** Where one may be. */
  readonly places: CredentialNames
}

export const ASSUMED_CREDENTIAL = attribute<AssumedCredential>('assumed credential')

/** A copy of a request: `Filter.rehearse` changes it, and nothing else. */
export interface DryRun extends DryExchange {
  set<T>(key: Attribute<T>, value: T): void
}

/** @param x whose properties are its own: accessors of a class would not be copied */
export function dryRunOf(x: DryExchange): DryRun {
  const attributes = new Attributes()
  return {
    ...x,
    request: x.request.copy(),
    get: (key) => attributes.get(key) ?? x.get(key),
    set: (key, value) => attributes.set(key, value),
  }
}
