/**
 * Secrets of our types as they were last read. Of a certificate the last valid version goes on while a newer one is
 * broken or half written: a handshake needs a pair that belongs together. Of what decides who may connect (authorities,
 * revocation lists, keys), and of a Secret that is gone, of another type or not shared any more, nothing goes on.
 */
import { createSecureContext } from 'node:tls'
import type { Secret } from '../../api/kubernetes.ts'
import type { OidcClient } from '../../auth/oidc-client.ts'
import { delayAdded, type SigningKeys } from '../../auth/signing-keys.ts'
import type { SecretSummary } from '../../compile/resource-set.ts'
import {
  readSecret,
  type SecretFault,
  type SecretReading,
  secretSummary,
  signersReading,
  validityAt,
} from '../../compile/secret.ts'
import { CA_SECRET, CRL_SECRET, TLS_SECRET } from '../../policy/secret-types.ts'

export interface SecretVersion {
  /** By key: what may be delivered; empty where nothing can be used. */
  readonly contents: ReadonlyMap<string, Uint8Array>
  readonly summary: SecretSummary
}

interface Known {
  readonly object: Secret
  /** The newest that can be used. */
  readonly reading: SecretReading | undefined
  readonly fault: string | undefined
  /** Keys that sign tokens, as they were last read; a version that cannot be used forgets none. */
  readonly signingKeys: SigningKeys | undefined
  version: SecretVersion
}

/** Why the provider of a client cannot be used now, as a clause; it is looked at anew as long as this is asked. */
export type ProviderFault = (namespace: string, issuer: string) => string | undefined

export class SecretReadings {
  readonly #wall: () => number
  readonly #providerFault: ProviderFault
  readonly #known = new Map<string, Known>()

  /** @param wall milliseconds since the epoch */
  constructor(wall: () => number, providerFault: ProviderFault = () => undefined) {
    this.#wall = wall
    this.#providerFault = providerFault
  }

  /**
   * @param node identity of the Secret
   * @returns undefined for one that is of none of our types, or gone
   */
  read(node: string, object: Secret | undefined): SecretVersion | undefined {
    const before = this.#known.get(node)
    if (before !== undefined && before.object === object) return before.version
    const found = object === undefined ? undefined : read(object)
    if (object === undefined || found === undefined) {
      this.#known.delete(node)
      return undefined
    }
    const fault = 'fault' in found ? found.fault : undefined
    const same = before?.object.type === object.type && before.object.metadata.uid === object.metadata.uid
    const kept = same && object.type === TLS_SECRET.type ? before.reading : undefined
    const signers = same ? before.signingKeys : undefined
    const reading = 'fault' in found ? kept : withKnownBytes(this.#withDelays(found, signers), before?.reading)
    const version = this.#versionOf(object, reading, fault)
    this.#known.set(node, { object, reading, fault, signingKeys: reading?.signingKeys ?? signers, version })
    return version
  }

  /** The client of a provider that a Secret describes. @param node identity of the Secret */
  oidcClient(node: string): OidcClient | undefined {
    return this.#known.get(node)?.reading?.oidcClient
  }

  /** Those whose time has come or ended since they were last looked at, or whose provider; by identity. */
  *turned(): Generator<string> {
    const now = this.#wall()
    for (const [node, known] of this.#known) {
      const { object, reading, fault, version } = known
      if (reading === undefined) continue
      const { validity, provider } = version.summary
      if (validityAt(now, reading.facts) === validity && this.#faultOf(object, reading) === provider) continue
      known.version = this.#versionOf(object, reading, fault)
      yield node
    }
  }

  /** A key that was not there before is published for a while before it signs. */
  #withDelays(found: SecretReading, before: SigningKeys | undefined): SecretReading {
    if (found.signingKeys === undefined || before === undefined) return found
    return signersReading(delayAdded(found.signingKeys, before, this.#wall()))
  }

  #versionOf(object: Secret, reading: SecretReading | undefined, fault: string | undefined): SecretVersion {
    const summary = secretSummary(reading, fault, this.#wall())
    const provider = this.#faultOf(object, reading)
    const contents = reading?.contents ?? new Map()
    return { contents, summary: provider === undefined ? summary : { ...summary, provider } }
  }

  #faultOf({ metadata }: Secret, reading: SecretReading | undefined): string | undefined {
    const client = reading?.oidcClient
    return client && this.#providerFault(metadata.namespace, client.issuer)
  }
}

/** Of a certificate and its key everything is checked by reading them, in a tenth of the time of this. */
function read(object: Secret): SecretReading | SecretFault | undefined {
  const found = readSecret(object)
  if (found === undefined || 'fault' in found || (object.type !== CA_SECRET.type && object.type !== CRL_SECRET.type))
    return found
  try {
    const [key, bytes] = [...found.contents][0]!
    createSecureContext({ [key === CA_SECRET.key ? 'ca' : 'crl']: Buffer.from(bytes) })
    return found
  } catch {
    return { fault: 'OpenSSL does not take what it holds; have it made anew' }
  }
}

/** The same arrays for parts that did not change, which then are no change for anybody. */
function withKnownBytes(reading: SecretReading, before: SecretReading | undefined): SecretReading {
  if (before === undefined) return reading
  const contents = new Map<string, Uint8Array>()
  for (const [key, bytes] of reading.contents) {
    const known = before.contents.get(key)
    contents.set(key, known !== undefined && Buffer.compare(known, bytes) === 0 ? known : bytes)
  }
  return { ...reading, contents }
}
