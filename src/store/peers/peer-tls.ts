/**
 * How replicas know each other: by a key that all pods of a release have, in TLS (RFC 4279 with ECDHE of RFC 5489).
 * Both sides prove that they have it, nothing that they send shows it, and connections are encrypted, in an order of
 * their own, and not to be replayed. TLS 1.2, since there the server says which keys it has: so keys are rotated by
 * adding the new one.
 */
import { hkdfSync } from 'node:crypto'
import type { TlsOptions } from 'node:tls'

export interface PeerKey {
  /** Says which key it is, and nothing else of it. */
  readonly id: string
  readonly key: Buffer
}

/** @param secret of 32 bytes */
export function peerKey(secret: Uint8Array): PeerKey {
  const derive = (purpose: string, bytes: number) => Buffer.from(hkdfSync('sha256', secret, '', purpose, bytes))
  return { id: derive('headgate peers id', 9).toString('base64url'), key: derive('headgate peers', 32) }
}

const OPTIONS = {
  ciphers: 'ECDHE-PSK-CHACHA20-POLY1305',
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ecdhCurve: 'X25519',
} as const

/** For `tls.connect`. */
export function dialOptions(keys: readonly PeerKey[]) {
  return {
    ...OPTIONS,
    // There are no certificates: the key is who it is.
    checkServerIdentity: () => undefined,
    pskCallback: (hint: string | null) => {
      const known = (hint ?? '').split(' ')
      const chosen = keys.find(({ id }) => known.includes(id))
      return chosen === undefined ? null : { psk: chosen.key, identity: chosen.id }
    },
  }
}

/** For `tls.createServer`. */
export function serverOptions(keys: readonly PeerKey[], handshakeTimeout: number): TlsOptions {
  return {
    ...OPTIONS,
    handshakeTimeout,
    pskIdentityHint: keys.map(({ id }) => id).join(' '),
    pskCallback: (_, identity) => keys.find(({ id }) => id === identity)?.key ?? null,
  }
}
