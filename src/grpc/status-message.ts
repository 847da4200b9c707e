/** `grpc-message`: the text of a status, percent-encoded (grpc/doc/PROTOCOL-HTTP2.md, Status-Message). */

/** Bytes of a text before it is encoded; what is longer is cut. */
export const MAX_MESSAGE_BYTES = 1_024

/** Printable ASCII but for the percent sign stands for itself. */
const PLAIN = /^[ -$&-~]*$/

export function encodeStatusMessage(text: string): string {
  if (text.length <= MAX_MESSAGE_BYTES && PLAIN.test(text)) return text
  const bytes = Buffer.from(text, 'utf8')
  let encoded = ''
  for (const byte of bytes.subarray(0, endOfText(bytes)))
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return encoded
}

/** No character is cut in two. */
function endOfText(bytes: Buffer): number {
  if (bytes.length <= MAX_MESSAGE_BYTES) return bytes.length
  let end = MAX_MESSAGE_BYTES
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--
  return end
}
