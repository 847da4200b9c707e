/**
 * What one filter leaves in an exchange for those after it. The key carries the type of the value, and is compared by
 * identity: two keys of one name are two attributes.
 */
declare const VALUE: unique symbol

export interface Attribute<T> {
  /** For messages only. */
  readonly name: string
  readonly [VALUE]?: (value: T) => T
}

export function attribute<T>(name: string): Attribute<T> {
  return Object.freeze({ name })
}

/**
 * The attributes of one exchange: for whoever implements `Exchange`, made when the first one is set. There are a few at
 * most, so a list is searched and made faster than a map.
 */
export class Attributes {
  /** Key, value, key, value … */
  readonly #entries: unknown[] = []

  get<T>(key: Attribute<T>): T | undefined {
    const entries = this.#entries
    for (let i = 0; i < entries.length; i += 2) if (entries[i] === key) return entries[i + 1] as T
    return undefined
  }

  set<T>(key: Attribute<T>, value: T): void {
    const entries = this.#entries
    for (let i = 0; i < entries.length; i += 2)
      if (entries[i] === key) {
        entries[i + 1] = value
        return
      }
    entries.push(key, value)
  }
}

/** Claims of the verified token. */
export const CLAIMS = attribute<Readonly<Record<string, unknown>>>('claims')
/**
 * The credential is one that browsers attach by themselves to whatever a page asks for: a cookie, a password, a client
 * certificate. Upgrades that rely on it are for pages of the same origin only.
 */
export const AMBIENT_CREDENTIAL = attribute<boolean>('ambient credential')
/** Name, in lower case, of the field in which the verified credential goes on to the backend. */
export const KEPT_FIELD = attribute<string>('field of the credential')
/** For the access log: why a request passed that might not have. */
export const NOTE = attribute<string>('note')
/** Who the credential belongs to. */
export const CONSUMER = attribute<string>('consumer')
/** Fields followed the body of the request, which is complete. */
export const TRAILED = attribute<boolean>('trailers of the request')
/** What would have denied the request, were it not for `dryRun`: for the access log and a metric. */
export const DRY_RUN = attribute<string>('dry run')

/** @param denial the policy and its rule: `authorization write` */
export function noteDryRun(x: Pick<Attributes, 'get' | 'set'>, denial: string): void {
  const before = x.get(DRY_RUN)
  x.set(DRY_RUN, before === undefined ? denial : `${before}, ${denial}`)
}
