/** What people are not shown, by its name: credentials, and what says who somebody is. */

import { decodeFormText } from './query.ts'

/** Selectors, and names of fields and parameters, in lower case. */
const CONCEALED =
  /^(?:cookie|claim):|^consumer$|(?:^|:)code$|(?:^|[:_-])(?:cookie|authorization|token|key|apikey|secret|session|sid|auth|user|password|passwd|pwd|otp|jwt|signature|sig|hmac|credentials?)(?:$|[_-])/
export const HIDDEN = '(hidden)'

/** @param name of a field, cookie or parameter, or a selector */
export function isConcealed(name: string): boolean {
  return CONCEALED.test(name.toLowerCase())
}

/** More names than those by which anybody can tell. */
export interface CredentialNames {
  /** In lower case. */
  readonly headers: ReadonlySet<string>
  readonly parameters: ReadonlySet<string>
}

/** The query with `(hidden)` in place of values whose names say that they are a credential. */
export function concealQuery(query: string, more?: CredentialNames): string {
  // Whatever some server takes for a separator.
  return query.replaceAll(/([^&;=?]+)=([^&;]*)/g, (whole, name: string) =>
    more?.parameters.has(decodeFormText(name)) === true || isConcealed(words(name)) ? `${name}=${HIDDEN}` : whole,
  )
}

/** A URL or a target, with its query as {@link concealQuery} shows it. */
export function concealUrl(url: string, more?: CredentialNames): string {
  const mark = url.indexOf('?')
  return mark < 0 ? url : `${url.slice(0, mark)}?${concealQuery(url.slice(mark + 1), more)}`
}

/** `accessToken` and `access.token` as `access_token`. */
function words(name: string): string {
  return decodeFormText(name)
    .replaceAll(/([a-z])([A-Z])/g, '$1_$2')
    .replaceAll(/[^A-Za-z0-9]+/g, '_')
}
