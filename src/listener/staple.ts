/** The OCSP response that is sent with a certificate, as long as it is valid. */
import type { Contents } from '../policy/contents.ts'
import { readOcspResponse } from '../tls/ocsp.ts'

/** Milliseconds between reads of a response's facts are none: they are kept with its bytes. */
const ends = new WeakMap<Uint8Array, number>()

/** @returns undefined: there is none, or none that a client would accept */
export function stapleOf(contents: Contents, id: string | undefined, wall: number): Uint8Array | undefined {
  const bytes = id === undefined ? undefined : contents.get(id)
  if (bytes === undefined) return undefined
  let end = ends.get(bytes)
  if (end === undefined) {
    end = readOcspResponse(bytes)?.nextUpdate ?? 0
    ends.set(bytes, end)
  }
  return wall < end ? bytes : undefined
}
