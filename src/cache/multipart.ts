/** Several ranges of one representation as `multipart/byteranges` (RFC 9110 §14.6, §15.3.7.2). */
import { type ByteRange, contentRange } from './ranges.ts'

export interface MultipartPart extends ByteRange {
  /** What stands before its bytes. */
  readonly before: Buffer
}

export interface Multipart {
  /** Of the response. */
  readonly contentType: string
  /** Bytes of the whole body. */
  readonly length: number
  readonly parts: readonly MultipartPart[]
  /** What stands behind the bytes of the last part. */
  readonly after: Buffer
}

/** Of a boundary, in hexadecimal digits: whoever chooses the body cannot know it, and so cannot end a part. */
export const BOUNDARY_BYTES = 16

/**
 * @param length of the whole representation
 * @param contentType of the representation, undefined where it has none
 * @param boundary drawn at random for this response, see {@link BOUNDARY_BYTES}
 */
export function multipartOf(
  ranges: readonly ByteRange[],
  length: number,
  contentType: string | undefined,
  boundary: string,
): Multipart {
  const type = contentType === undefined ? '' : `content-type: ${contentType}\r\n`
  let total = 0
  const parts = ranges.map(({ first, last }, i) => {
    const head = `${i === 0 ? '' : '\r\n'}--${boundary}\r\n${type}content-range: ${contentRange({ first, last }, length)}`
    const before = Buffer.from(`${head}\r\n\r\n`, 'latin1')
    total += before.length + last - first + 1
    return { first, last, before }
  })
  const after = Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1')
  return { contentType: `multipart/byteranges; boundary=${boundary}`, length: total + after.length, parts, after }
}
