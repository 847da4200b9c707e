/** Fetches one key set, by the metadata of its provider where the address is that of metadata. */
import { readProviderMetadata, readPublishedKeys } from '../../auth/published-keys.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { isMetadataAddress } from '../../policy/auth/key-set.ts'
import { type ProviderClient, ProviderError, type ProviderResponse } from '../../policy/provider-client.ts'
import { freshness } from './freshness.ts'

export type FetchedKeys =
  | {
      /** A JSON Web Key Set. */
      readonly text: string
      /** What the metadata says; undefined where none was asked. */
      readonly issuer: string | undefined
      readonly fresh: Milliseconds
    }
  | FetchFault

export interface FetchFault {
  /** A clause about the address: what is wrong. */
  readonly fault: string
  /** See `PublicationFault`. */
  readonly withdrawn: boolean
}

/** Of one response. Sets have some kilobytes. */
const MAX_BYTES = 262_144
/** Of each of the two. */
const WITHIN: Milliseconds = 5_000

export interface KeyFetch {
  readonly client: ProviderClient
  /** Namespace whose turn it is. */
  readonly owner: string
  readonly url: string
  /** Milliseconds since the epoch. */
  readonly now: number
}

export async function fetchKeys(fetch: KeyFetch): Promise<FetchedKeys> {
  try {
    return isMetadataAddress(fetch.url) ? await fetchByMetadata(fetch) : await fetchSet(fetch, fetch.url)
  } catch (error) {
    if (error instanceof ProviderError) return { fault: error.message, withdrawn: false }
    throw error
  }
}

async function fetchByMetadata(fetch: KeyFetch): Promise<FetchedKeys> {
  const response = await get(fetch, fetch.url)
  if (response.status !== 200) return statusFault(response)
  const metadata = readProviderMetadata(response.body)
  if ('fault' in metadata) return metadata
  const { issuer, keysAddress } = metadata
  if (isDowngrade(fetch.url, keysAddress))
    return { fault: 'its jwks_uri is an address of http, while it itself is one of https', withdrawn: false }
  const set = await fetchSet(fetch, keysAddress)
  if ('fault' in set) return { ...set, fault: `its jwks_uri ${new URL(keysAddress).origin}: ${set.fault}` }
  return { ...set, issuer, fresh: Math.min(set.fresh, freshness(response.headers, fetch.now)) }
}

async function fetchSet(fetch: KeyFetch, url: string): Promise<FetchedKeys> {
  const response = await get(fetch, url)
  if (response.status !== 200) return statusFault(response)
  const read = readPublishedKeys(response.body)
  if ('fault' in read) return read
  return { text: read.text, issuer: undefined, fresh: freshness(response.headers, fetch.now) }
}

function get({ client, owner }: KeyFetch, url: string): Promise<ProviderResponse> {
  // Caches between here and the provider are asked to look again: an old answer would not have the new key.
  const headers = { 'cache-control': 'no-cache' }
  return client.request({ owner, method: 'GET', url, headers, timeout: WITHIN, maxBytes: MAX_BYTES })
}

function statusFault({ status }: ProviderResponse): FetchFault {
  return { fault: `it answers with the status ${status}`, withdrawn: false }
}

function isDowngrade(from: string, to: string): boolean {
  return new URL(from).protocol === 'https:' && new URL(to).protocol !== 'https:'
}
