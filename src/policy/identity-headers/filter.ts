/**
 * Takes identities out of requests that did not earn them. A backend believes `x-user` because one rule states it from
 * a verified token; on every other rule to that backend the same header would be the client's own word.
 */
import type { FilterDefinition } from '../registry.ts'

/** Credentials, which a backend verifies itself: they assert nothing, and other rules may leave them to it. */
const CREDENTIALS: ReadonlySet<string> = new Set(['authorization', 'cookie'])

/** A value that tells a backend who the client is. `%%{` is text, and taken for a variable all the same. */
const IDENTITY_VARIABLE = /%\{(?:claim:|consumer\})/

/** @param name see `looseName` */
export function isIdentityField(name: string): boolean {
  return !CREDENTIALS.has(name)
}

/** Whether a value of `requestHeaders` is made of a verified identity. */
export function isIdentityValue(value: string): boolean {
  return IDENTITY_VARIABLE.test(value)
}

const MAX_LISTED = 8

export const identityHeaders: FilterDefinition = {
  name: 'identity-headers',
  phase: 'identity-headers',
  create({ withheld, action }) {
    if (withheld === undefined || action.type !== 'forward') return undefined
    const names = new Set(withheld)
    const more = withheld.length > MAX_LISTED ? ` and ${withheld.length - MAX_LISTED} more` : ''
    const effect = `removes ${withheld.slice(0, MAX_LISTED).join(', ')}${more}, which other rules to its Backends state`
    return {
      name: 'identity-headers',
      requestFields: withheld,
      onRequest(x) {
        x.request.removeAllLoosely(names)
        return undefined
      },
      explain: () => ({ filter: 'identity-headers', effect }),
      rehearse: (x) => x.request.removeAllLoosely(names),
    }
  },
}
