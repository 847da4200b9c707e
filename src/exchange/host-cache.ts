import type { Authority } from '../pattern/host.ts'

/**
 * Normal forms of the authorities seen last: nearly every request names one of a few. Bounded, so made-up names cannot
 * grow it.
 */
export class HostCache {
  readonly #known = new Map<string, Authority>()
  #last = ''
  #lastHost: Authority | undefined

  normalize(authority: string, normalize: (authority: string) => Authority | undefined): Authority | undefined {
    if (authority === this.#last) return this.#lastHost
    let host = this.#known.get(authority)
    if (host === undefined) {
      // HTTP/1.0 without Host names no host: it can only meet a rule for all of them.
      host = authority === '' ? NO_HOST : normalize(authority)
      if (host === undefined) return undefined
      if (this.#known.size >= MAX_HOSTS) this.#known.clear()
      this.#known.set(authority, host)
    }
    this.#last = authority
    this.#lastHost = host
    return host
  }
}

const MAX_HOSTS = 1024
const NO_HOST: Authority = { host: '', port: 0 }
