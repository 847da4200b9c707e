/** Origins of pages (RFC 6454 §6, Fetch "origin"), as `cors` lists them. */

/** An origin that is no opaque one. */
const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/([^/?#@\s]+?)(?::([0-9]{1,5}))?$/

const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: '80', https: '443' }

/** The form in which browsers write an origin: lower case, no default port. Undefined for what is none, as `null`. */
export function normalOrigin(text: string): string | undefined {
  const [, scheme, host, port] = ORIGIN.exec(text.toLowerCase()) ?? []
  if (scheme === undefined || host === undefined) return undefined
  return `${scheme}://${host}${port === undefined || DEFAULT_PORTS[scheme] === port ? '' : `:${port}`}`
}

const WILDCARD = '://*.'

/** A list of them, with `https://*.example.com` for all names below one. */
export class OriginList {
  readonly #exact = new Set<string>()
  /** Scheme, and what the rest ends in with its dot. */
  readonly #below: (readonly [scheme: string, suffix: string])[] = []
  /** `*` is in the list. */
  readonly any: boolean

  constructor(origins: readonly string[]) {
    this.any = origins.includes('*')
    for (const text of origins) {
      const at = text.indexOf(WILDCARD)
      const origin = normalOrigin(at === -1 ? text : text.replace(WILDCARD, '://'))
      if (origin === undefined) continue
      if (at === -1) this.#exact.add(origin)
      else {
        const scheme = origin.slice(0, origin.indexOf(':'))
        this.#below.push([`${scheme}://`, `.${origin.slice(scheme.length + 3)}`])
      }
    }
  }

  /** Whether it is named; that everybody is (`*`) is not looked at. @param origin as a browser sends it */
  names(origin: string): boolean {
    const normal = normalOrigin(origin)
    if (normal === undefined) return false
    if (this.#exact.has(normal)) return true
    return this.#below.some(
      ([scheme, suffix]) =>
        normal.startsWith(scheme) && normal.endsWith(suffix) && normal.length > scheme.length + suffix.length,
    )
  }
}
