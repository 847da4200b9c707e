/** How replicas tell each other of purges, by the settings and the place where this runs. */
import type { SettingsObject } from '../api/settings.ts'
import { parseSocketAddress } from '../pattern/host.ts'
import { TokenFile, type TokenPurpose } from '../source/token-file.ts'
import type { PeerSettings } from './cache/caches.ts'
import type { ControlData } from './thread-messages.ts'

/** Whoever may try one key after the other on a connection that he has recorded needs for ever for so many. */
const KEYS: TokenPurpose = {
  field: 'peers.keyFile',
  without: 'replicas do not tell each other of purges',
  minLength: 32,
}

/** @returns undefined where nobody lists the replicas, or they have no key */
export function peerSettings(
  settings: SettingsObject | undefined,
  { type }: ControlData['source'],
): PeerSettings | undefined {
  if (settings?.peers.keyFile === undefined || type !== 'kubernetes') return undefined
  const { address, keyFile } = settings.peers
  const listen = parseSocketAddress(address)
  // No process starts with another one.
  if (listen === undefined) return undefined
  const keys = new TokenFile(keyFile, KEYS)
  return {
    listen,
    secrets: async () => {
      const read = await keys.read()
      return read.ok ? { ok: true, secrets: read.digests } : read
    },
  }
}
