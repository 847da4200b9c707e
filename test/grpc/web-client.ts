/** What a client of gRPC-Web does with bytes, written apart from the gateway's own. */

export function framed(message: Uint8Array | string, flags = 0): Buffer {
  const bytes = Buffer.from(message as string)
  const prefix = Buffer.alloc(5)
  prefix[0] = flags
  prefix.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([prefix, bytes])
}

/** Text of any pieces, each padded by itself. */
export function decodeText(text: Uint8Array | string): Buffer {
  const all = Buffer.from(text as string).toString('latin1')
  if (all.length % 4 !== 0) throw new Error(`${all.length} characters of base64`)
  return Buffer.concat((all.match(/[^=]+={0,2}/g) ?? []).map((piece) => Buffer.from(piece, 'base64')))
}

export interface WebResponse {
  readonly messages: Buffer[]
  /** Null: there were none. */
  readonly trailers: Record<string, string> | null
}

/** @throws where the bytes are not whole frames, or anything is behind the trailers */
export function readWebResponse(bytes: Uint8Array): WebResponse {
  const all = Buffer.from(bytes)
  const messages: Buffer[] = []
  let trailers: Record<string, string> | null = null
  for (let at = 0; at < all.length; ) {
    if (trailers !== null) throw new Error('a frame behind the trailers')
    const end = at + 5 + all.readUInt32BE(at + 1)
    if (end > all.length) throw new Error('the last frame is not whole')
    const payload = all.subarray(at + 5, end)
    if ((all[at]! & 0x80) === 0) messages.push(payload)
    else trailers = headerLines(payload.toString('latin1'))
    at = end
  }
  return { messages, trailers }
}

function headerLines(block: string): Record<string, string> {
  const fields: Record<string, string> = {}
  for (const line of block.split('\r\n')) {
    if (line === '') continue
    const colon = line.indexOf(':')
    fields[line.slice(0, colon)] = line.slice(colon + 1).trim()
  }
  return fields
}
