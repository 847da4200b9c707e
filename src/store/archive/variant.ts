/** Where a variant of a response stands: beside the vary record of its primary key, under that record's token. */
import type { ArchiveKey } from '../../cache/response-archive.ts'
import { identityOf, type OpenedVary, type RecordKeys } from './sealed-record.ts'

export interface Variant {
  readonly name: string
  readonly identity: Buffer
  /** The key as `variantOf` gave it. */
  readonly key: Uint8Array
}

export function variantOf(
  keys: RecordKeys,
  key: ArchiveKey,
  identity: Buffer,
  { token, vary }: OpenedVary,
): Variant | undefined {
  const variant = key.variantOf(vary)
  return variant === undefined ? undefined : variantAt(keys, identity, token, variant)
}

/** With the token of its vary record: what belonged to another one before is never found beside it. */
export function variantAt(keys: RecordKeys, primary: Buffer, token: Uint8Array, key: Uint8Array): Variant {
  const identity = identityOf(primary, token, key)
  return { name: keys.name(identity), identity, key }
}

export function sameVary(a: OpenedVary, b: OpenedVary): boolean {
  return Buffer.compare(a.token, b.token) === 0 && Buffer.compare(a.vary, b.vary) === 0
}
