/**
 * PEM (RFC 7468): blocks of Base64 between BEGIN and END lines. Text around them is skipped, as OpenSSL does: many
 * tools write the subject there.
 */

export interface PemBlock {
  /** `CERTIFICATE`, `PRIVATE KEY` … */
  readonly label: string
  /** With its lines, as it was written. */
  readonly text: string
  readonly der: Buffer
  /** RFC 1421 headers, as OpenSSL writes them into encrypted keys; '' = none. */
  readonly headers: string
}

const BEGIN = /-----BEGIN ([A-Z0-9 ]{1,64})-----/g
const BASE64 = /^[A-Za-z0-9+/\s]*={0,2}\s*$/
const HEADERS = /^\s*(?:[A-Za-z0-9-]+:[^\n]*\n(?:[ \t][^\n]*\n)*)+\r?\n/

/**
 * @param most blocks; more are a fault
 * @returns the blocks in their order, or what is wrong as the end of a sentence; never a part of the text
 */
export function parsePem(text: string, most: number): readonly PemBlock[] | { readonly fault: string } {
  const blocks: PemBlock[] = []
  BEGIN.lastIndex = 0
  for (let begin = BEGIN.exec(text); begin !== null; begin = BEGIN.exec(text)) {
    const label = begin[1]!
    const end = `-----END ${label}-----`
    const start = begin.index + begin[0].length
    const stop = text.indexOf(end, start)
    if (stop === -1) return { fault: `its block ${label} has no END line` }
    if (blocks.length === most) return { fault: `it has more than ${most} blocks` }
    const inner = text.slice(start, stop)
    const headers = HEADERS.exec(inner)?.[0] ?? ''
    const body = inner.slice(headers.length)
    if (!BASE64.test(body)) return { fault: `its block ${label} is not Base64` }
    blocks.push({
      label,
      text: `${text.slice(begin.index, stop)}${end}\n`,
      der: Buffer.from(body, 'base64'),
      headers,
    })
    BEGIN.lastIndex = stop + end.length
  }
  return blocks
}
