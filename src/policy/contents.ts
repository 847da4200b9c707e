/**
 * Payloads of ConfigMaps and Secrets that policies refer to. They are delivered by identity, outside of the tables, so
 * that a rotated object reaches its users without a rebuild; a policy set holds identities only, and a filter asks for
 * the bytes when it needs them.
 */

/** The payload of one key of an object. */
export interface ContentRef {
  /** `KeySet`: what control fetches; its name is an address. */
  readonly kind: 'ConfigMap' | 'Secret' | 'KeySet'
  readonly namespace: string
  readonly name: string
  readonly key: string
  /**
   * Of a Secret: the type that it must have. A Secret of another type has no content under this identity. Of a key set
   * that metadata leads to: the issuer that it must name.
   */
  readonly type?: string
  /**
   * The namespace that uses a Secret of another one. There is no content under this identity unless the Secret is
   * shared with that namespace, so what one namespace loses the others keep.
   */
  readonly sharedWith?: string
}

/**
 * `ConfigMap shop/pages 502.html`, `Secret shop/users htpasswd headgate.dev/htpasswd`,
 * `Secret certs/wild tls.crt kubernetes.io/tls shop`, `KeySet /https://id.example/jwks keys  shop`: no part has a space
 * in it.
 */
export function contentId({ kind, namespace, name, key, type, sharedWith }: ContentRef): string {
  const id = `${kind} ${namespace}/${name} ${key}`
  // An issuer may be any text.
  if (kind === 'KeySet') return `${id} ${Buffer.from(type ?? '').toString('base64url')} ${sharedWith ?? ''}`
  if (sharedWith !== undefined) return `${id} ${type ?? ''} ${sharedWith}`
  return type === undefined ? id : `${id} ${type}`
}

/** For people. @param id see {@link contentId} */
export function describeContent(id: string): string {
  const [kind, object, key, type] = id.split(' ')
  if (kind === 'KeySet') return `the key set ${object!.slice(1)}`
  return `${kind} ${object} with the key ${key}${type === undefined ? '' : ` and the type ${type}`}`
}

export interface Contents {
  /**
   * The newest bytes, which nobody may change; another array after each change. Undefined where the object or its key
   * is missing, may not be read, is of another type or too large: whoever needs it then fails closed.
   *
   * @param id see {@link contentId}
   */
  get(id: string): Uint8Array | undefined
}

/** A change of one content; null: there is none any more. */
export interface ContentChange {
  readonly id: string
  /** May lie in memory that threads share. */
  readonly bytes: Uint8Array | null
}

export class ContentStore implements Contents {
  readonly #bytes = new Map<string, Uint8Array>()
  readonly #changed: (ids: readonly string[]) => void

  /** @param changed is called behind each change, for those that keep what they made of the bytes */
  constructor(changed: (ids: readonly string[]) => void = () => {}) {
    this.#changed = changed
  }

  get(id: string): Uint8Array | undefined {
    return this.#bytes.get(id)
  }

  /** Changes of one object, which act together. */
  apply(changes: readonly ContentChange[]): void {
    for (const { id, bytes } of changes)
      if (bytes === null) this.#bytes.delete(id)
      else this.#bytes.set(id, bytes)
    this.#changed(changes.map(({ id }) => id))
  }

  /** Forgets all others. */
  retain(ids: Iterable<string>): void {
    const known = new Set(ids)
    const forgotten = [...this.#bytes.keys()].filter((id) => !known.has(id))
    for (const id of forgotten) this.#bytes.delete(id)
    if (forgotten.length > 0) this.#changed(forgotten)
  }
}
