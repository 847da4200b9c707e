/** Key sets that control fetches from providers: their addresses, and the identity of what is delivered. */
import { hash } from 'node:crypto'
import { contentId } from '../contents.ts'

/** The kind of references to them: no object of a cluster, so none that a source reads. */
export const KEY_SET = 'KeySet' as const
/** The one part of it. */
export const KEY_SET_PART = 'keys'

const MAX_ADDRESS = 2_048

/** One spelling of an address; undefined where none is called by it. */
export function keySetAddress(text: unknown): string | undefined {
  if (typeof text !== 'string' || text.length > MAX_ADDRESS || !URL.canParse(text)) return undefined
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return undefined
  return url.username !== '' || url.password !== '' || url.hash !== '' || url.port === '0' ? undefined : url.href
}

/**
 * Of OpenID Connect Discovery 1.0 §4, whose last part it is, and of RFC 8414 §3, which puts it before the path. Such a
 * document says where the key set is, and whose.
 */
export function isMetadataAddress(url: string): boolean {
  return /\/\.well-known\/(openid-configuration|oauth-authorization-server)(\/|$)/.test(new URL(url).pathname)
}

export function hostOfAddress(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port, protocol } = new URL(url)
  const usual = protocol === 'https:' ? 443 : 80
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? usual : Number(port) }
}

/**
 * What a namespace uses of a key set.
 *
 * @param issuer what metadata must say; undefined where none is asked
 * @param namespace empty: the settings
 */
export function keySetContent(url: string, issuer: string | undefined, namespace: string): string {
  return contentId({
    kind: KEY_SET,
    namespace: '',
    name: url,
    key: KEY_SET_PART,
    ...(issuer === undefined ? {} : { type: issuer }),
    sharedWith: namespace,
  })
}

const DIGESTS = new WeakMap<Uint8Array, string>()

/** By which a worker and control know whether they have the same set; '' of none. */
export function keySetDigest(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return ''
  let digest = DIGESTS.get(bytes)
  if (digest === undefined) DIGESTS.set(bytes, (digest = hash('sha256', bytes, 'base64url')))
  return digest
}
