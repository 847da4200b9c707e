/**
 * One record of a last good version as it lies in a ConfigMap: compressed, and known by the digest of what was written.
 */
import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import type { LastGood } from '../../thread/retained-state.ts'
import { identityOf } from './last-good-shards.ts'

/** A Route is bounded by the API server's request limit of 3 MiB. */
export const MAX_OBJECT_BYTES = 4 * 1_024 * 1_024
const decompress = promisify(gunzip)

/** @returns the record, or what is wrong with it */
export async function openRecord(content: Buffer, identity: string, digest: string): Promise<LastGood | string> {
  try {
    const text = await decompress(content, { maxOutputLength: MAX_OBJECT_BYTES + 1_024 })
    if (digestOf(text) !== digest) return 'it is not what was written'
    const { kind, key, object } = JSON.parse(text.toString('utf8')) as Readonly<Record<string, unknown>>
    const known = kind === 'Route' || kind === 'Backend' || kind === 'Hostname'
    if (!known || typeof key !== 'string') return 'not a record of this version'
    return identityOf({ kind, key }) === identity ? { kind, key, object } : 'it is about another object'
  } catch (error) {
    return textOf(error)
  }
}

export function digestOf(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('hex')
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
